/** Features of pg and Kysely that other executors do not have, and databases in another encoding. */
import { Kysely, PostgresDialect } from 'kysely';
import { Client, Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { parseOutboxMessage } from '../../src/changes/outbox-message.ts';
import { defineWatchers } from '../../src/index.ts';
import { createOutbox } from '../../src/outbox/index.ts';
import { useDatabase } from '../support/database.ts';
import { executors } from '../support/executors.ts';
import { publish, published } from '../support/published.ts';
import { urlOf } from '../support/template.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const outbox = createOutbox();
const slot = slotName();
beforeAll(() => publish(db, slot));
afterAll(() => db.dropSlot(slot));
beforeEach(() => published(db, slot));

const message = (value: unknown) => ({
  prefix: 'walwatch:message:m',
  content: Buffer.from(JSON.stringify({ value })),
});
const outside = { code: 'CONFIGURATION', message: expect.stringContaining('this client is not in a transaction') };

test.each([false, true])(
  'the order is that of the calls, also when nothing is awaited (pipeline: %s)',
  async (pipeline) => {
    const client = await db.client({ pipeline } as object);
    const calls = [
      client.query('begin'),
      outbox.annotate(client, { actor: 'a' }),
      client.query(`insert into users (name) values ('a')`),
      outbox.emit(client, 'm', 1),
      client.query('commit'),
    ];
    await Promise.all(calls);
    expect(await published(db, slot)).toEqual([
      { prefix: 'walwatch:annotations', content: Buffer.from('{"actor":"a"}') },
      'insert',
      message(1),
      'commit',
    ]);
  },
);

test('a client of pg is refused before BEGIN and after COMMIT', async () => {
  const client = await db.client();
  await expect(outbox.emit(client, 'm', 1)).rejects.toMatchObject(outside);
  await client.query('begin');
  await outbox.emit(client, 'm', 2);
  await client.query('commit');
  await expect(outbox.emit(client, 'm', 3)).rejects.toMatchObject(outside);
  expect(await published(db, slot)).toEqual([message(2), 'commit']);
});

test('annotations reach the handlers of the changes after them', async () => {
  const watch = watchOf(defineWatchers([['users', 'inserted', { extraColumns: ['name'] }]]));
  const heard: unknown[] = [];
  watch.subscribe('users:inserted', ({ name }, { annotations }) => void heard.push([name, annotations]));
  await watch.start();
  const client = await db.client();
  await client.query('begin');
  await client.query(`insert into users (name) values ('before')`);
  await outbox.annotate(client, { actor: 'user:7', roles: ['admin'], requestId: 'ü' });
  await outbox.annotate(client, { roles: [], note: null });
  await client.query(`insert into users (name) values ('after')`);
  await client.query('commit');
  await settled(db, watch);
  expect(heard).toEqual([
    ['before', {}],
    ['after', { actor: 'user:7', roles: [], requestId: 'ü', note: null }],
  ]);
});

test('anything with a query method like that of pg is an executor', async () => {
  const client = await db.client();
  await client.query('begin');
  await outbox.emit({ query: (text: string, values: unknown[]) => client.query(text, values) }, 'm', 1);
  await client.query('commit');
  expect(await published(db, slot)).toEqual([message(1), 'commit']);
});

test('a controlled transaction of Kysely', async () => {
  const kysely = new Kysely<{ users: { name: string } }>({
    dialect: new PostgresDialect({ pool: new Pool({ connectionString: db.url }) }),
  });
  onTestFinished(() => kysely.destroy());
  const trx = await kysely.startTransaction().execute();
  await outbox.emit(trx, 'm', 1);
  const savepoint = await trx.savepoint('tried').execute();
  await outbox.emit(savepoint, 'm', 2);
  await savepoint.rollbackToSavepoint('tried').execute();
  await trx.commit().execute();
  await expect(outbox.emit(trx, 'm', 3)).rejects.toThrow(/already committed/i);
  expect(await published(db, slot)).toEqual([message(1), 'commit']);
});

describe('a database in LATIN1 carries any character, written with', () => {
  let latin1: Client;
  const run = { sql: async (text: string, values?: any) => (await latin1.query(text, values)).rows as never };
  const own = slotName();
  const name = () => `${db.name}_latin1`;
  beforeAll(async () => {
    await db.sql(`create database ${name()} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0`);
    latin1 = new Client({ connectionString: urlOf(db.url, name()) });
    await latin1.connect();
    await publish(run, own);
  });
  afterAll(async () => {
    await latin1.query('select pg_drop_replication_slot($1)', [own]);
    await latin1.end();
    const sessions = () => db.sql('select from pg_stat_activity where datname = $1', [name()]);
    await until(async () => (await sessions()).length === 0, { describe: 'the end of the sessions' });
    await db.sql(`drop database ${name()}`);
  });

  test.each(Object.entries(executors))('%s', async (_, open) => {
    const opened = await open(urlOf(db.url, name()));
    await opened.transaction(({ executor }) => outbox.emit(executor, 'größe', '漢字 €', { key: 'ü' }));
    await opened.close();
    const [first] = await published(run, own);
    const { prefix, content } = first as { prefix: string; content: Buffer };
    expect(prefix).toBe(outbox.message('größe').prefix);
    expect(parseOutboxMessage('größe', content)).toEqual({ name: 'größe', key: 'ü', value: '漢字 €' });
  });
});
