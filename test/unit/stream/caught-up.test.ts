import { expect, test, vi } from 'vitest';
import { CaughtUp } from '../../../src/stream/caught-up.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { type Deferred, deferred } from '../../support/until.ts';

const tick = useFakeTime();

/** A ledger that the test sets, and a stream that the test answers for. */
function catchingUp({ streaming = true } = {}) {
  const ledger: { handled: bigint | undefined; settled: boolean } = { handled: undefined, settled: true };
  const caughtUp = new CaughtUp(ledger);
  const reads: Deferred<bigint>[] = [];
  const stream = {
    readEnd: vi.fn(() => {
      const read = deferred<bigint>();
      reads.push(read);
      return read.promise;
    }),
    ask: vi.fn(),
    failed: vi.fn(),
  };
  if (streaming) caughtUp.connect(stream, true);
  const over: string[] = [];
  const wait = (name: string, signal?: AbortSignal) =>
    void caughtUp.wait(signal).then(
      () => over.push(name),
      (reason) => over.push(`${name}: ${reason}`),
    );
  const handle = (lsn: bigint) => {
    ledger.handled = lsn;
    caughtUp.check();
  };
  return { ledger, caughtUp, reads, stream, over, wait, handle };
}

test('waits until the end of WAL at the time of the call is handled, and not a byte longer', async () => {
  const { reads, over, wait, handle } = catchingUp();
  wait('a');
  reads[0]!.resolve(100n);
  await tick();
  handle(99n);
  await tick();
  expect(over).toEqual([]);
  handle(100n);
  await tick();
  expect(over).toEqual(['a']);
});

test('resolves when that position is already handled as the server answers', async () => {
  const { reads, over, wait, handle, stream } = catchingUp();
  handle(100n);
  wait('a');
  await tick();
  expect(over).toEqual([]); // before the server has answered
  reads[0]!.resolve(100n);
  await tick();
  expect(over).toEqual(['a']);
  expect(stream.ask).not.toHaveBeenCalled();
});

test('an answer is valid only for calls made before the question', async () => {
  const { reads, over, wait, handle } = catchingUp();
  wait('a');
  wait('b'); // commits may have happened between the first question and this call
  reads[0]!.resolve(100n);
  await tick();
  handle(100n);
  await tick();
  expect(over).toEqual(['a']);
  expect(reads).toHaveLength(2);
  wait('c');
  reads[1]!.resolve(200n);
  await tick();
  handle(200n);
  await tick();
  expect(over).toEqual(['a', 'b']);
});

test('an idle walsender is asked at once, and again until it gets there, less and less often', async () => {
  const { reads, caughtUp, stream, over, wait, handle } = catchingUp();
  wait('a');
  reads[0]!.resolve(100n);
  await tick();
  expect(stream.ask).toHaveBeenCalledTimes(1);
  handle(50n); // not asked again before it has answered
  await tick(1000);
  expect(stream.ask).toHaveBeenCalledTimes(1);
  const asks: number[] = [];
  stream.ask.mockImplementation(() => {
    asks.push(Date.now());
    queueMicrotask(() => caughtUp.answered());
  });
  caughtUp.answered();
  await tick(1000);
  const pauses = asks.slice(1).map((at, index) => at - asks[index]!);
  expect(pauses.slice(0, 3).every((pause, index) => index === 0 || pause > pauses[index - 1]!)).toBe(true);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(50);
  handle(100n);
  await tick();
  expect([over, vi.getTimerCount()]).toEqual([['a'], 0]);
});

test('while handlers run, the walsender is not asked', async () => {
  const { ledger, reads, caughtUp, stream, wait, handle } = catchingUp();
  ledger.settled = false;
  wait('a');
  reads[0]!.resolve(100n);
  await tick();
  caughtUp.answered();
  await tick(1000);
  expect([stream.ask.mock.calls, vi.getTimerCount()]).toEqual([[], 0]);
  ledger.settled = true;
  handle(90n); // the handler is done: now only the walsender knows that nothing follows
  expect(stream.ask).toHaveBeenCalledTimes(1);
});

test('a connection that continues the history keeps the position; another history needs a new one', async () => {
  const { caughtUp, reads, stream, over, wait, handle } = catchingUp();
  wait('a');
  reads[0]!.resolve(100n);
  await tick();
  caughtUp.disconnect();
  caughtUp.connect({ ...stream }, true);
  expect(reads).toHaveLength(1);
  caughtUp.disconnect();
  caughtUp.connect({ ...stream }, false);
  handle(150n);
  await tick();
  expect(over).toEqual([]);
  reads[1]!.resolve(150n);
  await tick();
  expect(over).toEqual(['a']);
});

test('the answer of a lost connection does not count, and its failure rejects nothing', async () => {
  const { caughtUp, reads, stream, over, wait, handle } = catchingUp();
  wait('a');
  caughtUp.disconnect();
  const next = { ...stream, failed: vi.fn() };
  caughtUp.connect(next, true);
  handle(1000n);
  reads[0]!.reject(new Error('lost'));
  await tick();
  expect([over, stream.failed.mock.calls]).toEqual([[], []]);
  const broken = new Error('broken');
  reads[1]!.reject(broken);
  await tick();
  expect(next.failed.mock.calls).toEqual([[broken]]);
});

test('without a connection the call waits for one', async () => {
  const { caughtUp, reads, stream, over, wait, handle } = catchingUp({ streaming: false });
  wait('a');
  handle(100n);
  await tick();
  expect(over).toEqual([]);
  caughtUp.connect(stream, false);
  reads[0]!.resolve(100n);
  await tick();
  expect(over).toEqual(['a']);
});

test('the end of the watch rejects all calls, later ones included, and leaves no timer', async () => {
  const { caughtUp, reads, over, wait } = catchingUp();
  wait('a');
  reads[0]!.resolve(100n);
  await tick();
  caughtUp.answered();
  wait('b');
  caughtUp.end('over');
  wait('c');
  await tick();
  expect([over, vi.getTimerCount()]).toEqual([['a: over', 'b: over', 'c: over'], 0]);
});

test('a signal rejects its own call with its reason, and its listener is removed afterwards', async () => {
  const { reads, over, wait, handle } = catchingUp();
  const [first, second] = [new AbortController(), new AbortController()];
  const removed = vi.spyOn(second.signal, 'removeEventListener');
  wait('a', first.signal);
  wait('b', second.signal);
  wait('c', AbortSignal.abort('before'));
  reads[0]!.resolve(100n);
  await tick();
  first.abort('enough');
  reads[1]!.resolve(100n);
  await tick();
  handle(100n);
  await tick();
  expect(over).toEqual(['c: before', 'a: enough', 'b']);
  expect(removed).toHaveBeenCalledTimes(1);
});

test('calls that share a signal share one listener, and calls that wait together share one answer of the server', async () => {
  const { reads, over, wait, handle, stream } = catchingUp();
  const controller = new AbortController();
  const listen = vi.spyOn(controller.signal, 'addEventListener');
  wait('first');
  for (let count = 0; count < 100; count++) wait('a', controller.signal);
  reads[0]!.resolve(100n);
  await tick();
  expect([stream.readEnd.mock.calls.length, listen.mock.calls.length]).toEqual([2, 1]);
  reads[1]!.resolve(200n);
  await tick();
  handle(100n);
  await tick();
  expect(over).toEqual(['first']);
  controller.abort('enough');
  await tick();
  expect(over.length).toBe(101);
  expect(new Set(over)).toEqual(new Set(['first', 'a: enough']));
});
