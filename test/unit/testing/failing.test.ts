/** Handlers that fail: what `deliver` rejects with, and what `onError` changes about it. */
import type { Client } from 'pg';
import { expect, test } from 'vitest';
import { defineWatchers } from '../../../src/index.ts';
import { createTestWatch } from '../../../src/testing/index.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { recorder } from '../../support/recorder.ts';

const passing = useFakeTime({ random: 1, toFake: ['setTimeout', 'clearTimeout', 'Date'] });
const watchers = defineWatchers<{ users: { id: number } }>()(
  [['users', 'inserted'], ['users', 'deleted']],
  { when: { 'users:deleted': ({ id }) => { if (id === 13) throw new Error('condition'); return true; } } },
); // prettier-ignore
const silent = { logger: false } as const;
const failing = (error: unknown) => () => {
  throw error;
};

test('deliver rejects with the very error that the handler threw, and the watch still works', async () => {
  const watch = createTestWatch(watchers, silent);
  const error = new Error('no');
  let failures = 0;
  const handled = recorder();
  watch.subscribe('users:inserted', (event) => {
    if (event.id === 1 && ++failures > 0) throw error;
    handled(event);
  });
  const failed = watch.deliver('users:inserted', { id: 1 });
  await expect(failed).rejects.toBe(error);
  await watch.deliver('users:inserted', { id: 2 });
  expect(failures).toBe(1); // it is not retried
  expect(handled.all).toEqual([{ id: 2 }]);
});

test('different errors of several handlers are one AggregateError; the same error is not', async () => {
  const watch = createTestWatch(watchers, silent);
  const [one, two] = [new Error('one'), new Error('two')];
  for (const error of [one, two, two]) watch.subscribe('users:inserted', async () => failing(error)());
  watch.subscribe('users:deleted', failing(one));
  watch.subscribe('users:deleted', failing(one));
  const both = watch.deliver('users:inserted', { id: 1 });
  await expect(both).rejects.toBeInstanceOf(AggregateError);
  await expect(both).rejects.toMatchObject({ errors: [one, two] });
  await expect(watch.deliver('users:deleted', { id: 1 })).rejects.toBe(one);
});

test('deliver waits for the other handlers before it rejects', async () => {
  const watch = createTestWatch(watchers, silent);
  let done = false;
  watch.subscribe('users:inserted', failing(new Error('no')));
  watch.subscribe('users:inserted', async () => {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    done = true;
  });
  const failed = watch.deliver('users:inserted', { id: 1 }).catch(() => done);
  await passing(1000);
  await expect(failed).resolves.toBe(true);
});

test('with onError retry the handler is called again after the real delays, and deliver waits for it', async () => {
  const watch = createTestWatch(watchers, { ...silent, onError: 'retry' });
  const attempts: number[] = [];
  watch.subscribe('users:inserted', (_, { attempt }) => {
    attempts.push(attempt);
    if (attempt < 3) throw new Error('not yet');
  });
  const delivered = watch.deliver('users:inserted', { id: 1 });
  await passing(299);
  expect(attempts).toEqual([1, 2]);
  await passing(1);
  await delivered;
  expect(attempts).toEqual([1, 2, 3]);
});

test("a subscription's own onError comes first, and deliver rejects when it gives up", async () => {
  const watch = createTestWatch(watchers, silent);
  const error = new Error('never');
  const failures = recorder();
  watch.on('handlerFailed', failures);
  watch.subscribe('users:inserted', failing(error), { onError: { attempts: 3, then: 'skip' } });
  const delivered = watch.deliver('users:inserted', { id: 1 });
  const rejected = expect(delivered).rejects.toBe(error);
  await passing(300);
  await rejected;
  expect(failures.all.map(({ action }) => action)).toEqual(['retry', 'retry', 'skip']);
});

test('stop ends the watch, and both deliveries and closed tell why; the process does not fail', async () => {
  const watch = createTestWatch(watchers, silent);
  const error = new Error('stop');
  watch.subscribe('users:inserted', failing(error), { onError: () => 'stop' });
  await expect(watch.deliver('users:inserted', { id: 1 })).rejects.toBe(error);
  const ended = { code: 'HANDLER_FAILED', cause: error };
  await expect(watch.deliver('users:inserted', { id: 2 })).rejects.toMatchObject(ended);
  await expect(watch.closed).rejects.toMatchObject(ended);
  expect(watch.status()).toMatchObject({ state: 'failed', error: ended });
  expect(process.exitCode).toBeUndefined();
});

test('deliver rejects with the error of a condition, even if onError never gives up', async () => {
  const watch = createTestWatch(watchers, { ...silent, onError: 'retry' });
  watch.subscribe('users:deleted', () => {});
  await expect(watch.deliver('users:deleted', { id: 13 })).rejects.toThrow('condition');
  const skipping = createTestWatch(watchers, silent);
  skipping.subscribe('users:deleted', () => {});
  await expect(skipping.deliver('users:deleted', { id: 13 })).rejects.toThrow('condition');
  await skipping.deliver('users:deleted', { id: 1 });
});

test.each([false, true])('a handler that takes too long fails; transaction: %s', async (transaction) => {
  const watch = createTestWatch(watchers, { ...silent, client: {} as Client });
  watch.subscribe(
    'users:inserted',
    (_, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    { timeout: 50, transaction },
  );
  const rejected = expect(watch.deliver('users:inserted', { id: 1 })).rejects.toMatchObject({
    code: 'HANDLER_TIMEOUT',
  });
  await passing(50);
  await rejected;
});

test('a failed batch fails each delivery that has an event in it', async () => {
  const watch = createTestWatch(watchers, silent);
  const error = new Error('batch');
  watch.subscribe('users:inserted', failing(error), { batch: { size: 10, wait: 1000 } });
  const outcomes = await Promise.allSettled([1, 2].map((id) => watch.deliver('users:inserted', { id })));
  expect(outcomes).toEqual([{ status: 'rejected', reason: error }, { status: 'rejected', reason: error }]); // prettier-ignore
});

test('with times the next time does not begin after a failure', async () => {
  const watch = createTestWatch(watchers, silent);
  let calls = 0;
  watch.subscribe('users:inserted', () => {
    calls++;
    throw new Error('no');
  });
  await expect(watch.deliver('users:inserted', { id: 1 }, { times: 2 })).rejects.toThrow('no');
  expect(calls).toBe(1);
});
