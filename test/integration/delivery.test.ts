/** Order, concurrency, failing handlers, memory: everything between a change and its acknowledgement. */
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { defineWatchers, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { deferred, until } from '../support/until.ts';
import { isAcknowledged, settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const jobs = defineWatchers<{ jobs: { id: number; round: number; payload: string } }>()([
  ['jobs', 'inserted', { extraColumns: ['payload'] }],
  ['jobs', 'updated', { extraColumns: ['round'] }],
]);

beforeAll(() => db.sql('create table jobs (id int primary key, round int, payload text)'));
beforeEach(() => db.sql('delete from jobs'));

test('the events of a subscription arrive one after the other, in commit order', async () => {
  const watch = watchOf(jobs);
  const seen: number[] = [];
  let running = 0;
  watch.subscribe('jobs:inserted', async ({ id }) => {
    expect(++running).toBe(1);
    await new Promise(setImmediate);
    running--;
    seen.push(id);
  });
  await watch.start();
  await db.sql('insert into jobs select generate_series(1, 50)');
  await db.sql('insert into jobs select generate_series(51, 100)');
  await settled(db, watch);
  expect(seen).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
});

test('with concurrency, different records run at once, and those of one record never', async () => {
  await db.sql('insert into jobs select generate_series(1, 8), 0');
  const watch = watchOf(jobs);
  const running = new Map<number, number>();
  const rounds = new Map<number, number[]>();
  let most = 0;
  watch.subscribe(
    'jobs:updated',
    async ({ id, round }) => {
      running.set(id, (running.get(id) ?? 0) + 1);
      expect(running.get(id)).toBe(1);
      most = Math.max(most, running.size);
      for (let turn = Math.floor(Math.random() * 5); turn >= 0; turn--) await new Promise(setImmediate);
      rounds.set(id, [...(rounds.get(id) ?? []), round]);
      running.delete(id);
    },
    { concurrency: 4 },
  );
  await watch.start();
  for (let round = 1; round <= 20; round++) await db.sql('update jobs set round = $1', [round]);
  await settled(db, watch);
  expect(most).toBe(4);
  const inOrder = Array.from({ length: 20 }, (_, index) => index + 1);
  for (let id = 1; id <= 8; id++) expect(rounds.get(id)).toEqual(inOrder);
});

test('a failing handler is retried until it succeeds, and holds later events, and the slot', async () => {
  const watch = watchOf(jobs);
  const calls: [id: number, attempt: number, eventId: string][] = [];
  const failures = recorder();
  watch.on('handlerFailed', failures);
  watch.subscribe(
    'jobs:inserted',
    ({ id }, { attempt, eventId }) => {
      calls.push([id, attempt, eventId]);
      if (id === 1 && attempt < 3) throw new Error('not yet');
    },
    { name: 'flaky' },
  );
  await watch.start();
  await db.sql('insert into jobs values (1), (2)');
  await until(() => failures.all.length > 0, { describe: 'a failure' });
  expect(isAcknowledged(watch, calls[0]![2])).toBe(false);
  expect(watch.status()).toMatchObject({
    heldBy: { subscription: 'flaky', attempt: 2, error: new Error('not yet') },
  });
  await settled(db, watch);
  expect(calls.map(([id, attempt]) => [id, attempt])).toEqual([[1, 1], [1, 2], [1, 3], [2, 1]]); // prettier-ignore
  expect(new Set(calls.slice(0, 3).map(([, , eventId]) => eventId)).size).toBe(1);
  expect(failures.all).toMatchObject([
    { subscription: 'flaky', attempt: 1, action: 'retry', retryIn: expect.any(Number), error: { message: 'not yet' } },
    { subscription: 'flaky', attempt: 2, action: 'retry' },
  ]);
  expect(watch.status().heldBy).toBeUndefined();
});

test('a failing subscription does not delay the events of others', async () => {
  const watch = watchOf(jobs);
  const gate = deferred();
  const seen: number[] = [];
  watch.subscribe('jobs:inserted', () => gate.promise);
  watch.subscribe('jobs:inserted', ({ id }) => void seen.push(id));
  await watch.start();
  await db.sql('insert into jobs select generate_series(1, 10)');
  await until(() => seen.length === 10, { describe: 'the other subscription to be done' });
  expect(watch.status().heldBy).toMatchObject({ subscription: 'jobs:inserted', attempt: 1 });
  gate.resolve();
  await settled(db, watch);
});

test('an event is skipped after its attempts if the user asked for it, and a function decides for itself', async () => {
  const watch = watchOf(jobs);
  const attempts: number[] = [];
  const decided: [unknown, number][] = [];
  const fail = ({ id }: { id: number }) => {
    if (id === 1) throw new Error('broken');
  };
  watch.subscribe('jobs:inserted', (event, { attempt }) => (event.id === 1 && attempts.push(attempt), fail(event)), {
    onError: { attempts: 2, then: 'skip' },
  });
  watch.subscribe('jobs:inserted', fail, {
    onError: (error, { attempt }) => {
      decided.push([(error as Error).message, attempt]);
      return attempt < 2 ? 'retry' : 'skip';
    },
  });
  await watch.start();
  await db.sql('insert into jobs values (1), (2)');
  await settled(db, watch);
  expect(attempts).toEqual([1, 2]);
  expect(decided).toEqual([['broken', 1], ['broken', 2]]); // prettier-ignore
});

test("'stop' ends the watch with HANDLER_FAILED and leaves the event unacknowledged, so that it is delivered again", async () => {
  const slot = `stop_${process.pid}`;
  const first = watchOf(jobs, { slot, onError: { attempts: 1, then: 'stop' } });
  const seen: number[] = [];
  first.subscribe('jobs:inserted', ({ id }) => {
    if (id === 2) throw new Error('broken');
    seen.push(id);
  });
  await first.start();
  await db.sql('insert into jobs values (1)');
  await settled(db, first);
  await db.sql('insert into jobs values (2)');
  await expect(first.closed).rejects.toMatchObject({ code: 'HANDLER_FAILED', cause: new Error('broken') });
  expect(first.status()).toMatchObject({ state: 'failed', error: { code: 'HANDLER_FAILED' } });

  const second = watchOf(jobs, { slot });
  second.subscribe('jobs:inserted', ({ id }) => void seen.push(id));
  await second.start();
  await settled(db, second);
  expect(seen).toEqual([1, 2]);
});

test('an attempt that times out has failed, its signal is aborted, and the next begins once it has settled', async () => {
  const watch = watchOf(jobs);
  const failed = deferred<unknown>();
  const release = deferred();
  const calls: [attempt: number, at: 'begin' | 'end'][] = [];
  let signal: AbortSignal | undefined;
  watch.on('handlerFailed', ({ error }) => failed.resolve(error));
  watch.subscribe(
    'jobs:inserted',
    async (_, context) => {
      calls.push([context.attempt, 'begin']);
      if (context.attempt === 1) {
        signal = context.signal;
        await release.promise;
      }
      calls.push([context.attempt, 'end']);
    },
    { timeout: 20 },
  );
  await watch.start();
  await db.sql('insert into jobs values (1)');
  const error = (await failed.promise) as WatchError;
  expect(error.code).toBe('HANDLER_TIMEOUT');
  expect(signal?.aborted).toBe(true);
  expect(signal?.reason).toBe(error);
  expect(calls).toEqual([[1, 'begin']]);
  release.resolve();
  await settled(db, watch);
  expect(calls).toEqual([[1, 'begin'], [1, 'end'], [2, 'begin'], [2, 'end']]); // prettier-ignore
});

test('unsubscribing while a handler runs waits for the handler, and delivers no further event', async () => {
  const watch = watchOf(jobs);
  const release = deferred();
  const seen: number[] = [];
  let eventId = '';
  const subscription = watch.subscribe('jobs:inserted', ({ id }, context) => {
    seen.push(id);
    eventId = context.eventId;
    return release.promise;
  });
  await watch.start();
  await db.sql('insert into jobs values (1), (2)');
  await until(() => seen.length === 1, { describe: 'the first event' });
  subscription.unsubscribe();
  expect(watch.status().running).toBe(1);
  expect(isAcknowledged(watch, eventId)).toBe(false);
  release.resolve();
  await settled(db, watch);
  expect(seen).toEqual([1]);
});

test('when undelivered changes fill the memory reading is paused, the session stays alive, and nothing is lost', async () => {
  const watch = watchOf(jobs, { highWaterMark: 100_000 });
  const release = deferred();
  const seen: number[] = [];
  watch.subscribe('jobs:inserted', async ({ id }) => {
    await release.promise;
    seen.push(id);
  });
  const disconnects = recorder();
  watch.on('disconnected', disconnects);
  await watch.start();
  await db.sql(`insert into jobs select n, 0, repeat('x', 1000) from generate_series(1, 5000) n`);
  await until(() => watch.status().undeliveredBytes > 100_000, { describe: 'the memory to be full' });
  const [slot] = await db.sql('select active from pg_replication_slots where slot_name = $1', [watch.status().slot]);
  expect(slot).toEqual({ active: true });
  // One read of the socket may arrive after the pause; 5000 rows of a kilobyte would be far more.
  expect(watch.status().undeliveredBytes).toBeLessThan(1_000_000);
  release.resolve();
  await settled(db, watch);
  expect(seen).toEqual(Array.from({ length: 5000 }, (_, index) => index + 1));
  expect(disconnects.all).toEqual([]);
  expect(watch.status().undeliveredBytes).toBe(0);
});

test('a handler that selects the row by its id finds it', async () => {
  const watch = watchOf(jobs);
  const client = await db.client();
  let found = 0;
  watch.subscribe('jobs:inserted', async ({ id }) => {
    const { rowCount } = await client.query('select from jobs where id = $1', [id]);
    found += rowCount ?? 0;
  });
  await watch.start();
  await Promise.all(Array.from({ length: 200 }, (_, id) => db.sql('insert into jobs values ($1)', [id])));
  await settled(db, watch);
  expect(found).toBe(200);
});
