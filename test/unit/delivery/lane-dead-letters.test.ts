import { expect, test, vi } from 'vitest';
import type { LaneHost } from '../../../src/delivery/lane.ts';
import { afterAttempts, handling } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { type Deferred, deferred } from '../../support/until.ts';

const tick = useFakeTime({ random: 1 });
const broken = new Error('broken');

/** The test decides when a dead letter is written. */
function burying(attempts = 1) {
  const letters: (Deferred<void> & Parameters<LaneHost['bury']>[0])[] = [];
  const bury: LaneHost['bury'] = (dead) => {
    const written = deferred();
    letters.push({ ...written, ...dead });
    return written.promise;
  };
  return { ...handling({ onError: afterAttempts(attempts, 'deadLetter') }, { bury }), letters };
}

test('an event that failed too often becomes a dead letter, with its attempts and its error', async () => {
  const { send, one, calls, letters, failures } = burying(2);
  send(one, '1');
  calls[0]!.reject(new Error('first'));
  await tick(100);
  expect(letters).toEqual([]);
  calls[1]!.reject(broken);
  await tick();
  expect(letters).toMatchObject([{ recipient: one, attempts: 2, error: broken, deliverable: { event: { id: 1 } } }]);
  expect(failures.map(({ action }) => action)).toEqual(['retry', 'deadLetter']);
});

test('the event is handled once its letter is written, not before, and later events of the record wait', async () => {
  const { send, one, calls, letters, ledger, ids } = burying();
  for (const id of ['1', '2']) send(one, id);
  calls[0]!.reject(broken);
  await tick();
  expect([ids(), ledger.confirmed]).toEqual([[1], undefined]);
  letters[0]!.resolve();
  await tick();
  expect([ids(), ledger.confirmed]).toEqual([[1, 2], 1n]);
});

test('a letter that cannot be written is retried with backoff, and the event is kept until then', async () => {
  const { send, one, calls, letters, ledger } = burying();
  send(one, '1');
  calls[0]!.reject(broken);
  await tick();
  for (const [index, pause] of [100, 200, 400].entries()) {
    letters[index]!.reject(new Error('no connection'));
    await tick(pause - 1);
    expect(letters).toHaveLength(index + 1);
    await tick(1);
    expect([letters.length, ledger.confirmed]).toEqual([index + 2, undefined]);
  }
  letters[3]!.resolve();
  await tick();
  expect([letters.length, calls.length, ledger.confirmed, vi.getTimerCount()]).toEqual([4, 1, 1n, 0]);
});

test('while the watch closes no letter is started or retried, so the event is delivered again after a restart', async () => {
  const one = burying();
  one.send(one.one, '1');
  const closing = one.dispatcher.close(1000, 'stop');
  one.calls[0]!.reject(broken);
  await closing;
  expect([one.letters.length, one.ledger.confirmed]).toEqual([0, undefined]);

  const other = burying();
  other.send(other.one, '1');
  other.calls[0]!.reject(broken);
  await tick();
  await other.dispatcher.close(1000, 'stop');
  other.letters[0]!.reject(new Error('no connection'));
  await tick();
  expect([other.letters.length, other.ledger.confirmed, vi.getTimerCount()]).toEqual([1, undefined, 0]);
});

test('closing the watch cancels the retry of a letter', async () => {
  const { send, one, calls, letters, dispatcher } = burying();
  send(one, '1');
  calls[0]!.reject(broken);
  await tick();
  letters[0]!.reject(new Error('no connection'));
  await tick();
  expect(vi.getTimerCount()).toBe(1);
  await dispatcher.close(1000, 'stop');
  expect(vi.getTimerCount()).toBe(0);
});

test('a letter is written even if its subscription ends in the meantime', async () => {
  const { send, one, calls, letters, ledger } = burying();
  send(one, '1');
  send(one, '2');
  calls[0]!.reject(broken);
  await tick();
  one.unsubscribe();
  // Waiting events are dropped; the event whose letter is being written is not.
  expect([letters.length, ledger.confirmed]).toEqual([1, undefined]);
  letters[0]!.reject(new Error('no connection'));
  await tick(100);
  expect([letters.length, ledger.confirmed]).toEqual([2, undefined]);
  letters[1]!.resolve();
  await tick();
  expect([calls.length, ledger.confirmed, vi.getTimerCount()]).toEqual([1, 2n, 0]);
});
