/** `walwatch/outbox` with the real packages: pg, Kysely, Drizzle, Prisma and postgres.js. */
import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseOutboxMessage } from '../../src/changes/outbox-message.ts';
import { createOutbox } from '../../src/outbox/index.ts';
import { useDatabase } from '../support/database.ts';
import { executors, type Opened } from '../support/executors.ts';
import { publish, published } from '../support/published.ts';
import { slotName } from '../support/watching.ts';

const db = useDatabase();
const outbox = createOutbox();
const slot = slotName();
beforeAll(async () => {
  await publish(db, slot);
  // A hostile search_path: these match the arguments exactly.
  await db.sql(`
    create schema evil;
    create domain evil.text as pg_catalog.text check (false);
    create function evil.pg_logical_emit_message(boolean, text, bytea) returns pg_lsn language sql as $$ select '0/0'::pg_lsn $$;
    create function evil.decode(text, text) returns bytea language sql as $$ select ''::bytea $$;
    create function evil.convert_from(bytea, text) returns text language sql as $$ select ''::text $$`);
});
afterAll(() => db.dropSlot(slot));
const hostile = `set local search_path = evil, public, pg_catalog; set local standard_conforming_strings = off; set local bytea_output = 'escape'; set local backslash_quote = on`;

const odd = `'"\\ \0 \n $1 ü € 漢 🐘 \ud800 </script> \u2028`;

describe.each(Object.entries(executors))('%s', (_, open) => {
  let opened: Opened;
  beforeAll(async () => void (opened = await open(db.url)));
  afterAll(() => opened.close());
  beforeEach(() => published(db, slot));

  test('annotations and messages are published in the transaction, in order with its changes', async () => {
    await opened.transaction(async ({ executor, sql }) => {
      await outbox.annotate(executor, { actor: 'user:7', roles: ['a', 'b'] });
      await sql(`insert into users (name) values ('a')`);
      await outbox.emit(executor, 'order.placed', { id: 7, total: '9.90' }, { key: '7' });
      await outbox.emit(executor, 'order.placed', null);
    });
    expect(await published(db, slot)).toEqual([
      { prefix: 'walwatch:annotations', content: Buffer.from('{"actor":"user:7","roles":["a","b"]}') },
      'insert',
      { prefix: 'walwatch:message:order.placed', content: Buffer.from('{"key":"7","value":{"id":7,"total":"9.90"}}') },
      { prefix: 'walwatch:message:order.placed', content: Buffer.from('{"value":null}') },
      'commit',
    ]);
  });

  test('a rollback, also to a savepoint, publishes nothing', async () => {
    const failed = opened.transaction(async ({ executor }) => {
      await outbox.annotate(executor, { actor: 'a' });
      await outbox.emit(executor, 'm', 'rolled back');
      throw new Error('on purpose');
    });
    await expect(failed).rejects.toThrow('on purpose');
    await opened.transaction(async ({ executor, rolledBack }) => {
      await outbox.emit(executor, 'm', 1);
      await rolledBack(async (nested) => {
        await outbox.annotate(nested, { actor: 'a' });
        await outbox.emit(nested, 'm', 2);
      });
      await outbox.emit(executor, 'm', 3);
    });
    expect(await values('m')).toEqual([1, 3]);
  });

  test('any characters arrive as they were, in the name, the key and the value', async () => {
    const name = odd.replaceAll(/[\0\ud800]/gu, '');
    await opened.transaction(({ executor }) => outbox.emit(executor, name, { [odd]: odd }, { key: odd }));
    const [message] = await published(db, slot);
    expect(message).toMatchObject({ prefix: outbox.message(name).prefix });
    const { content } = message as { content: Buffer };
    expect(parseOutboxMessage(name, content)).toEqual({ name, key: odd, value: { [odd]: odd } });
  });

  test('a hostile search_path and other settings of the session change nothing', async () => {
    await opened.transaction(async ({ executor, sql }) => {
      for (const setting of hostile.split(';')) await sql(setting);
      await outbox.emit(executor, `it's`, `it's \\ "it"`);
      await outbox.annotate(executor, { actor: `it's` });
    });
    expect(await published(db, slot)).toEqual([
      { prefix: `walwatch:message:it's`, content: Buffer.from(JSON.stringify({ value: `it's \\ "it"` })) },
      { prefix: 'walwatch:annotations', content: Buffer.from(`{"actor":"it's"}`) },
      'commit',
    ]);
  });

  test('a value of 3 MB is published', async () => {
    const value = '漢字'.repeat(500_000);
    await opened.transaction(({ executor }) => outbox.emit(executor, 'large', value));
    expect((await values('large'))[0] === value).toBe(true);
  });

  test('outside of a transaction it is refused, and nothing is published', async () => {
    for (const [executor, message] of opened.outside) {
      await expect(outbox.emit(executor, 'm', 1)).rejects.toMatchObject({
        code: 'CONFIGURATION',
        issues: [{ message }],
      });
      await expect(outbox.annotate(executor, {})).rejects.toMatchObject({ issues: [{ message }] });
    }
    expect(await published(db, slot)).toEqual([]);
  });

  test('an error of the server reaches the caller', async () => {
    let thrown: unknown;
    const failed = opened.transaction(async ({ executor, sql }) => {
      await Promise.resolve(sql('select 1 / 0')).catch(() => {});
      await outbox.emit(executor, 'm', 1).catch((error: unknown) => (thrown = error));
      throw new Error('on purpose');
    });
    await expect(failed).rejects.toThrow();
    // Drizzle and Prisma wrap it.
    expect(inspect(thrown, { depth: 5 })).toContain('25P02');
    expect(await published(db, slot)).toEqual([]);
  });
});

async function values(name: string): Promise<unknown[]> {
  const all = await published(db, slot);
  return all.flatMap((one) => (typeof one === 'string' ? [] : [parseOutboxMessage(name, one.content).value]));
}
