/** Events that could not be handled are kept with everything needed to handle them later. */
import type { Client } from 'pg';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { defineWatchers, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { until } from '../support/until.ts';
import { isAcknowledged, settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ letters: { id: number; at: Date; body: Buffer; tag: string | null } }>()([
  ['letters', 'updated', { extraColumns: ['at', 'body', 'tag'] }],
]);
const onError = { attempts: 2, then: 'deadLetter' } as const;

beforeAll(async () => {
  await db.sql('create table letters (id int primary key, at timestamptz, body bytea, tag text)');
  await db.sql('alter table letters replica identity full');
});
beforeEach(async () => {
  await db.sql('drop schema if exists walwatch cascade');
  await db.sql('delete from letters');
  await db.sql(`insert into letters values (1, '2026-11-22 10:00:00.5+00', '\\x00ff', null), (2, null, null, 'b')`);
});

const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
};

test('after its attempts an event becomes a letter with its values, and is acknowledged then', async () => {
  const watch = watchOf(watchers);
  const eventIds: string[] = [];
  watch.subscribe('letters:updated', (_, { eventId }) => {
    eventIds.push(eventId);
    throw new Error('no such mailbox');
  }, { name: 'mailer', onError }); // prettier-ignore
  await watch.start();
  await db.sql(`update letters set tag = 'x' where id = 1`);
  await settled(db, watch);
  expect(eventIds).toHaveLength(2);
  const letters = await collect(watch.deadLetters.list());
  expect(letters).toEqual([
    {
      id: expect.any(String), subscription: 'mailer', watcher: 'letters:updated', eventId: eventIds[0], attempts: 2,
      event: { id: 1, at: new Date('2026-11-22T10:00:00.500Z'), body: Buffer.from([0, 255]), tag: 'x' },
      error: expect.stringContaining('no such mailbox'), failedAt: expect.any(Date),
    },
  ]); // prettier-ignore
});

test('replay passes letters to the subscription of their name again, removes those that succeed and keeps the others', async () => {
  const watch = watchOf(watchers);
  let works: (id: number) => boolean = () => false;
  const calls: unknown[] = [];
  watch.subscribe('letters:updated', (event, { attempt, previous, eventId, table }) => {
    calls.push([event.id, attempt, previous.tag, table]);
    expect(eventId).toMatch(/\/\d+$/);
    if (!works(event.id)) throw new Error('down');
  }, { name: 'mailer', onError }); // prettier-ignore
  await watch.start();
  await db.sql(`update letters set tag = 'new'`);
  await settled(db, watch);
  works = (id) => id === 1;
  calls.length = 0;
  expect(await watch.deadLetters.replay({ subscription: 'mailer' })).toBe(1);
  expect(calls).toEqual([[1, 3, null, 'letters'], [2, 3, 'b', 'letters']]); // prettier-ignore
  expect(await collect(watch.deadLetters.list())).toMatchObject([{ event: { id: 2 }, attempts: 3 }]);
  works = () => true;
  expect(await watch.deadLetters.replay({ watcher: 'letters:inserted' })).toBe(0);
  expect(await watch.deadLetters.replay()).toBe(1);
  expect(await collect(watch.deadLetters.list())).toEqual([]);
});

test('a replaying handler may take longer than our sessions may be idle', async () => {
  const connection = { connectionString: db.url, options: '-c idle_in_transaction_session_timeout=100ms' };
  const watch = watchOf(watchers, { connection });
  let isReplay = false;
  watch.subscribe('letters:updated', async () => {
    if (!isReplay) throw new Error('down');
    const idle = `select from pg_stat_activity where application_name like '%:letters' and state = 'idle in transaction'
      and datname = current_database() and clock_timestamp() - state_change > '300ms'`;
    await until(async () => (await db.sql(idle)).length > 0, { describe: 'the session to be idle for long' });
  }, { name: 'mailer', onError }); // prettier-ignore
  await watch.start();
  await db.sql(`update letters set tag = 'new' where id = 1`);
  await settled(db, watch);
  isReplay = true;
  expect(await watch.deadLetters.replay()).toBe(1);
  expect(await collect(watch.deadLetters.list())).toEqual([]);
});

test.each([false, true])(
  'replay applies the timeout of the subscription: a letter that times out stays, and its transaction is rolled back (transaction: %s)',
  async (transaction) => {
    await db.sql('create table if not exists replayed (id int)');
    await db.sql('truncate replayed');
    const watch = watchOf(watchers);
    let patient = false;
    watch.subscribe('letters:updated', async ({ id }, { signal, attempt, ...context }) => {
      if (attempt <= onError.attempts) throw new Error('down');
      const { client } = context as { client?: Client };
      await client?.query('insert into replayed values ($1)', [id]);
      if (patient) return;
      // It reacts to the signal by continuing, which does not count as success.
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    }, { name: 'mailer', onError, timeout: 1000, transaction } as object); // prettier-ignore
    await watch.start();
    await db.sql(`update letters set tag = 'new' where id = 1`);
    await settled(db, watch);
    expect(await watch.deadLetters.replay()).toBe(0);
    expect(await collect(watch.deadLetters.list())).toMatchObject([
      { attempts: 3, error: expect.stringContaining('has not finished after 1000 ms') },
    ]);
    expect(await db.sql('select from replayed')).toHaveLength(0);
    patient = true;
    expect(await watch.deadLetters.replay()).toBe(1);
    expect(await db.sql('select from replayed')).toHaveLength(transaction ? 1 : 0);
  },
);

test('letters are listed and discarded by subscription, watcher or id, even by a watch that does not stream', async () => {
  const watch = watchOf(watchers);
  const fail = () => Promise.reject(new Error('down'));
  watch.subscribe('letters:updated', fail, { name: 'a', onError: { attempts: 1, then: 'deadLetter' } });
  watch.subscribe('letters:updated', { tag: 'b' }, fail, { onError: () => 'deadLetter' });
  watch.onMessage('outbox', fail, { name: 'm', onError: { attempts: 1, then: 'deadLetter' } });
  await watch.start();
  await db.sql(`update letters set at = now()`);
  await db.sql(`select pg_logical_emit_message(true, 'outbox', 'ü')`);
  await settled(db, watch);
  await watch.stop();

  const idle = watchOf(watchers, { slot: watch.status().slot });
  const { deadLetters } = idle;
  const named = async (which = {}) => (await collect(deadLetters.list(which))).map(({ subscription }) => subscription);
  // Subscriptions do not wait for each other, so their letters are in no order.
  expect((await named()).toSorted()).toEqual(['a', 'a', 'letters:updated {"tag":"b"}', 'm']);
  const [message] = await collect(deadLetters.list({ subscription: 'm' }));
  expect(message).toMatchObject({
    watcher: 'message:outbox',
    event: { prefix: 'outbox', content: Buffer.from('ü'), transactional: true },
  });
  expect((await collect(deadLetters.list({ watcher: 'letters:updated' })))[0]!.event).toMatchObject({
    at: expect.any(Date),
  });
  await expect(deadLetters.replay({ subscription: 'a' })).rejects.toMatchObject({ code: 'CONFIGURATION' });
  expect(await deadLetters.discard({ ids: [message!.id] })).toBe(1);
  expect(await deadLetters.discard({ subscription: 'a' })).toBe(2);
  expect(await named()).toEqual(['letters:updated {"tag":"b"}']);
});

test('a letter that cannot be written keeps its event, with a warning, until it can', async () => {
  const watch = watchOf(watchers);
  const warnings = recorder<WatchError>();
  let eventId = '';
  watch.on('warning', warnings);
  watch.subscribe('letters:updated', (_, context) => {
    ({ eventId } = context);
    throw new Error('down');
  }, { name: 'mailer', onError }); // prettier-ignore
  await watch.start();
  await db.sql('create schema if not exists walwatch');
  await db.sql('create table walwatch.dead_letters (of_another_kind int)');
  await db.sql(`update letters set tag = 'x' where id = 1`);
  await until(() => warnings.all.some(({ code }) => code === 'DEAD_LETTER'), { describe: 'the warning' });
  expect(isAcknowledged(watch, eventId)).toBe(false);
  expect(watch.status().heldBy).toMatchObject({ subscription: 'mailer' });
  await db.sql('drop table walwatch.dead_letters');
  await settled(db, watch);
  expect(await collect(watch.deadLetters.list())).toMatchObject([{ eventId }]);
});

test('two subscriptions with one name are refused if data is stored under it', () => {
  const watch = watchOf(watchers);
  const again = () => watch.subscribe('letters:updated', () => {}, { name: 'mailer', onError });
  const first = again();
  expect(again).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
  first.unsubscribe();
  again();
});
