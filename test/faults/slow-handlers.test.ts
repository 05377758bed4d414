/** Handlers that hang, block the processor or fail: the session stays up, and nothing unhandled is acknowledged. */
import { beforeAll, expect, test } from 'vitest';
import { compareLsn, defineWatchers, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { deferred, until } from '../support/until.ts';
import { isAcknowledged, settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);
beforeAll(async () => {
  await db.sql('create table entries (id int generated always as identity primary key)');
});

const insert = async (rows: number): Promise<number[]> => {
  const ids: number[] = [];
  for (let row = 0; row < rows; row++)
    ids.push((await db.sql<{ id: number }>('insert into entries default values returning id'))[0]!.id);
  return ids;
};
const connection = () => ({ connectionString: db.url, options: '-c wal_sender_timeout=2000' });
const confirmed = async (slot: string) =>
  (await db.sql('select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1', [slot]))[0]![
    'lsn'
  ] as string;

test('while a handler never settles the session stays up, nothing is acknowledged, and the subscription is named', async () => {
  const watch = watchOf(watchers, { connection: connection(), stopTimeout: 10 });
  const { slot } = watch.status();
  const disconnects = recorder();
  const warnings = recorder<WatchError>();
  watch.on('disconnected', disconnects);
  watch.on('warning', warnings);
  const hang = deferred();
  let heard = '';
  const seen: number[] = [];
  const subscription = watch.subscribe('entries:inserted', async ({ id }, { eventId }) => {
    heard ||= eventId;
    await hang.promise;
    seen.push(id);
  });
  await watch.start();
  await settled(db, watch);
  const ids = await insert(3);
  await until(() => heard, { describe: 'the handler' });

  // Each is an answer of ours: a session without answers would end before that many.
  const replies = new Set<string>();
  await until(
    async () => {
      const [row] = await db.sql(
        'select reply_time::text as at, pid from pg_stat_replication where application_name = $1',
        [`walwatch/${slot}`],
      );
      return replies.add(`${row?.['pid']} ${row?.['at']}`).size > 12;
    },
    { describe: () => `replies; so far ${[...replies].join()}`, timeout: 30_000 },
  );
  expect(new Set([...replies].map((reply) => reply.split(' ')[0])).size).toBe(1); // of one session
  expect(disconnects.all).toEqual([]);
  expect(isAcknowledged(watch, heard)).toBe(false);
  expect(compareLsn(await confirmed(slot), heard.slice(0, heard.lastIndexOf('/')))).toBeLessThanOrEqual(0);
  expect(watch.status().heldBy).toEqual({
    subscription: subscription.name, sql: expect.stringContaining('FROM "public"."entries"'), eventId: heard, since: expect.any(Date), attempt: 1, error: undefined,
  }); // prettier-ignore
  await until(() => warnings.all.some(({ code }) => code === 'HANDLER_SLOW'), {
    describe: 'the warning',
    timeout: 30_000,
  });
  const warning = warnings.all.find(({ code }) => code === 'HANDLER_SLOW')!;
  expect(warning.message).toContain(subscription.name);
  expect(warning.message).toContain(watch.status().heldBy!.since.toISOString());

  hang.resolve();
  await settled(db, watch);
  expect(seen).toEqual(ids);
  expect(watch.status().heldBy).toBeUndefined();
});

test('a handler that blocks the processor for 5 s loses nothing, whether or not the server gives the session up', async () => {
  const watch = watchOf(watchers, { connection: connection() });
  const seen: number[] = [];
  watch.subscribe('entries:inserted', ({ id }) => {
    if (seen.length === 0) {
      const end = performance.now() + 5000;
      while (performance.now() < end);
    }
    seen.push(id);
  });
  await watch.start();
  const ids = await insert(1);
  await until(() => seen.length === 1, { describe: 'the handler' });
  ids.push(...(await insert(5)));
  await settled(db, watch);
  expect(seen).toEqual(ids);
});

test('an event that fails keeps the acknowledgement before it, although later ones succeed', async () => {
  const watch = watchOf(watchers);
  const seen: number[] = [];
  const events = new Map<number, string>();
  let broken = true;
  let fails = 0;
  watch.subscribe(
    'entries:inserted',
    ({ id }, { eventId }) => {
      events.set(id, eventId);
      if (broken && id === ids[1]) throw new Error(`failure ${++fails}`);
      seen.push(id);
    },
    { concurrency: 4 },
  );
  const ids: number[] = [];
  await watch.start();
  const [first] = await insert(1);
  ids.push(first!, first! + 1);
  const later = await insert(5);
  await until(() => seen.length === 5 && fails >= 3, { describe: 'all others to be done' });
  expect(seen).toEqual([first, ...later.slice(1)]);
  await until(() => isAcknowledged(watch, events.get(first!)!), { describe: 'the first to be acknowledged' });
  expect(isAcknowledged(watch, events.get(ids[1]!)!)).toBe(false);
  expect(watch.status().heldBy).toMatchObject({ eventId: events.get(ids[1]!) });
  broken = false;
  await settled(db, watch);
  expect(seen).toEqual([first, ...later.slice(1), ids[1]]);
});
