/** Annotations: what the application attached to its transaction arrives with each of its changes. */
import type { Client } from 'pg';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Annotations, defineWatchers, type SlotWatch } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ noted: { id: number; text: string } }>()([
  ['noted', ['inserted', 'updated'], { extraColumns: ['text'] }],
  ['noted', 'deleted'],
]);
let client: Client;

beforeAll(async () => {
  await db.sql('create table noted (id int primary key, text text)');
  client = await db.client();
});
beforeEach(() => db.sql('truncate noted'));

const annotate = (annotations: unknown) =>
  client.query(`select pg_logical_emit_message(true, 'walwatch:annotations', $1::text)`, [JSON.stringify(annotations)]);
const insert = (id: number) => client.query('insert into noted values ($1)', [id]);

/** Runs one transaction. */
async function transaction(work: () => Promise<unknown>): Promise<void> {
  await client.query('begin');
  await work();
  await client.query('commit');
}

/** The annotations of each insert, by id. */
async function received(watch: SlotWatch<typeof watchers>, write: () => Promise<unknown>) {
  const found: Record<number, Annotations> = {};
  watch.subscribe('noted:inserted', ({ id }, { annotations }) => void (found[id] = annotations));
  await watch.start();
  await write();
  await settled(db, watch);
  return found;
}

test('every kind of delivery has the annotations', async () => {
  const watch = watchOf(watchers);
  const found: Record<string, unknown> = {};
  const note = (kind: string, annotations: unknown) => void ((found[kind] as unknown[]) ??= []).push(annotations);
  watch.subscribe('noted:inserted', (_, { annotations }) => note('single', annotations));
  watch.subscribe('noted:inserted', (_, { contexts }) => note('batch', contexts[0]?.annotations), {
    batch: { size: 9 },
  });
  watch.subscribe(['noted:inserted', 'noted:deleted'], (_, { annotations }) => note('list', annotations));
  watch.subscribe('noted:inserted', (_, { annotations }) => note('exactly once', annotations), {
    name: 'once', transaction: true,
  }); // prettier-ignore
  watch.onTransaction(async (changes, context) => {
    for await (const change of changes) note('change of a transaction', change.context.annotations);
    note('transaction', context.annotations);
  });
  watch.onMessage('ping', (_, { annotations }) => note('message', annotations));
  const changes = watch.events('noted:inserted');
  await watch.start();
  await transaction(async () => {
    await annotate({ actor: 'user:7' });
    await insert(1);
    await client.query(`select pg_logical_emit_message(true, 'ping', '')`);
  });
  note('events()', (await changes.next()).value.context.annotations);
  await changes.return?.();
  await settled(db, watch);
  const expected = [{ actor: 'user:7' }];
  expect(found).toEqual({
    single: expected, batch: expected, list: expected, 'exactly once': expected, 'change of a transaction': expected,
    transaction: expected, message: expected, 'events()': expected,
  }); // prettier-ignore
});

test('an annotation applies to what follows it in its transaction, and a transaction without one has {}', async () => {
  const found = await received(watchOf(watchers), async () => {
    await transaction(async () => {
      await insert(1);
      await annotate({ actor: 'a', step: 1 });
      await insert(2);
      await annotate({ step: 2 });
      await insert(3);
    });
    await insert(4);
  });
  expect(found).toEqual({ 1: {}, 2: { actor: 'a', step: 1 }, 3: { actor: 'a', step: 2 }, 4: {} });
});

test('the context of a whole transaction has the annotations of the newest change that has arrived', async () => {
  const watch = watchOf(watchers);
  const after: Annotations[] = [];
  watch.onTransaction(async (changes, context) => {
    await changes.toArray();
    after.push(context.annotations);
  });
  await watch.start();
  await transaction(async () => {
    await annotate({ actor: 'a' });
    await insert(1);
    await annotate({ reason: 'refund' });
    await insert(2);
  });
  await settled(db, watch);
  expect(after).toEqual([{ actor: 'a', reason: 'refund' }]);
});

describe('scope', () => {
  test('an annotation rolls back with its savepoint, and stays when a savepoint is released', async () => {
    const found = await received(watchOf(watchers), () =>
      transaction(async () => {
        await annotate({ actor: 'a' });
        await client.query('savepoint one');
        await annotate({ actor: 'b', kept: true });
        await insert(1);
        await client.query('release one');
        await client.query('savepoint two');
        await annotate({ actor: 'c' });
        await insert(2);
        await client.query('rollback to two');
        await insert(3);
      }),
    );
    expect(found).toEqual({ 1: { actor: 'b', kept: true }, 3: { actor: 'b', kept: true } });
  });

  test('an annotation in a PL/pgSQL block with an exception handler, which is a subtransaction', async () => {
    const found = await received(watchOf(watchers), () =>
      transaction(() =>
        client.query(`do $$ begin
          perform pg_logical_emit_message(true, 'walwatch:annotations', '{"in": "block"}');
          insert into noted values (1);
          begin
            perform pg_logical_emit_message(true, 'walwatch:annotations', '{"in": "failed"}');
            raise exception 'no';
          exception when others then insert into noted values (2);
          end;
        end $$`),
      ),
    );
    expect(found).toEqual({ 1: { in: 'block' }, 2: { in: 'block' } });
  });

  test('two transactions that write at the same time keep their own', async () => {
    const other = await db.client();
    const found = await received(watchOf(watchers), () =>
      transaction(async () => {
        await annotate({ actor: 'a' });
        await other.query('begin');
        await other.query(`select pg_logical_emit_message(true, 'walwatch:annotations', '{"actor": "b"}')`);
        await insert(1);
        await other.query('insert into noted values (2)');
        await other.query('commit');
        await insert(3);
      }),
    );
    expect(found).toEqual({ 1: { actor: 'a' }, 2: { actor: 'b' }, 3: { actor: 'a' } });
  });

  test('a prepared transaction has its annotations at COMMIT PREPARED', async () => {
    const id = `annotated ${db.name}`;
    const found = await received(watchOf(watchers), async () => {
      await client.query('begin');
      await annotate({ actor: 'a' });
      await insert(1);
      await client.query(`prepare transaction '${id}'`);
      await insert(2);
      await client.query(`commit prepared '${id}'`);
    });
    expect(found).toEqual({ 1: { actor: 'a' }, 2: {} });
  });

  test('without visibility: committed, and in a transaction that is too large for memory', async () => {
    const found = await received(watchOf(watchers, { visibility: 'immediate', highWaterMark: 65_536 }), () =>
      transaction(async () => {
        await annotate({ actor: 'a' });
        await client.query(`insert into noted select id, repeat('x', 1000) from generate_series(1, 1000) id`);
      }),
    );
    expect(Object.keys(found)).toHaveLength(1000);
    expect(new Set(Object.values(found))).toEqual(new Set([{ actor: 'a' }]));
  });
});

describe('a transaction that is interrupted', () => {
  test('a lost connection in the middle of it: every change has its annotations', async () => {
    await using proxy = await startProxy(db.url);
    const watch = watchOf(watchers, { connection: proxy.url, highWaterMark: 65_536, slot: slotName() });
    const found: [number, Annotations][] = [];
    let blocked: (() => void) | undefined;
    watch.subscribe('noted:inserted', async ({ id }, { annotations }) => {
      found.push([id, annotations]);
      if (id === 10) await new Promise<void>((resolve) => (blocked = resolve));
    });
    let connects = 0;
    watch.on('connected', () => connects++);
    await watch.start();
    await transaction(async () => {
      await annotate({ actor: 'a' });
      await client.query(`insert into noted select id, repeat('x', 1000) from generate_series(1, 1000) id`);
      await annotate({ actor: 'b' });
      await client.query(`insert into noted select id, repeat('x', 1000) from generate_series(1001, 2000) id`);
    });
    await until(() => blocked !== undefined, { describe: 'the handler to be in the middle of the transaction' });
    proxy.reset();
    await until(() => connects === 2, { describe: 'a new connection' });
    blocked!();
    await settled(db, watch);
    expect(found.map(([id]) => id)).toEqual(Array.from({ length: 2000 }, (_, index) => index + 1));
    expect(found.every(([id, { actor }]) => actor === (id <= 1000 ? 'a' : 'b'))).toBe(true);
  });

  test('a restart in the middle of it: the events that come again have their annotations', async () => {
    const slot = slotName();
    const first = watchOf(watchers, { slot, stopTimeout: 10 });
    const seen: number[] = [];
    const handle = (id: number) => {
      seen.push(id);
      return id === 2 ? new Promise<never>(() => {}) : undefined;
    };
    first.subscribe('noted:inserted', ({ id }) => handle(id));
    await first.start();
    await transaction(async () => {
      await annotate({ actor: 'a' });
      for (const id of [1, 2, 3]) await insert(id);
    });
    await until(() => seen.includes(2), { describe: 'the second change' });
    await first.stop();
    const found = await received(watchOf(watchers, { slot }), async () => {});
    expect(found[3]).toEqual({ actor: 'a' });
    expect(found[2]).toEqual({ actor: 'a' });
  });
});

test('a dead letter keeps the annotations, also those that jsonb cannot hold, and a replay has them', async () => {
  const watch = watchOf(watchers);
  const annotations = { actor: 'a', text: 'nul \0, half of a pair \ud800', nested: { list: [1, null] } };
  const replayed: Annotations[] = [];
  let works = false;
  watch.subscribe(
    'noted:inserted',
    (_, context) => {
      if (!works) throw new Error('no');
      replayed.push(context.annotations);
    },
    { name: 'noted', onError: { attempts: 1, then: 'deadLetter' } },
  );
  await watch.start();
  await transaction(async () => {
    await annotate(annotations);
    await insert(1);
  });
  await insert(2);
  await settled(db, watch);
  works = true;
  expect(await watch.deadLetters.replay()).toBe(2);
  expect(replayed).toEqual([annotations, {}]);
});

test('a hostile writer neither stops the watch nor changes what others wrote; the first refused annotation is reported', async () => {
  const watch = watchOf(watchers);
  const warnings: string[] = [];
  watch.on('warning', ({ code, message }) => {
    if (code === 'ANNOTATION') warnings.push(message.replace(/\d+ was/, 'N was'));
  });
  const raw = (content: string) =>
    client.query(`select pg_logical_emit_message(true, 'walwatch:annotations', ${content})`);
  const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`key${index}`, index]));
  const found = await received(watch, async () => {
    await transaction(async () => {
      await annotate({ actor: 'a' });
      await raw(`'{"__proto__": {"admin": true}}'::text`);
      for (const content of [`'{'::text`, `'[]'::text`, `'\\xff00'::bytea`, `''::text`]) await raw(content);
      await annotate(many);
      await raw(`'{"a":"' || repeat('x', 1048576) || '"}'`);
      await raw(`repeat('x', 50000000)`);
      await insert(1);
    });
    await client.query(`select pg_logical_emit_message(false, 'walwatch:annotations', '{"actor":"b"}')`);
    await insert(2);
  });
  expect(Object.keys(found[1]!)).toEqual(['actor', '__proto__']);
  expect((found[1] as { admin?: unknown }).admin).toBeUndefined();
  expect(found[2]).toEqual({});
  expect(warnings).toEqual([
    'an annotation of transaction N was ignored: it is not JSON',
    'an annotation was ignored: it was not written as a transactional message',
  ]);
});
