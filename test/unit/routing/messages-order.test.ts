import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { useFakeTime } from '../../support/fake-time.ts';
import { descriptor, messaging } from '../../support/messaging.ts';

useFakeTime();

interface Planned {
  /** Undefined: without a key. */
  readonly key: string | undefined;
  /** The content is not what `emit` writes. */
  readonly unreadable: boolean;
  /** How many attempts with this message fail. */
  readonly failures: number;
  /** Milliseconds that its attempts take; 0: synchronous. */
  readonly after: number;
  /** Milliseconds until the next message arrives. */
  readonly pause: number;
}

const milliseconds = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 300 }));
const planned: fc.Arbitrary<Planned> = fc.record({
  key: fc.constantFrom('a', 'b', '', undefined),
  unreadable: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.constant(true)),
  failures: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 2 })),
  after: milliseconds,
  pause: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, milliseconds),
});
const batch = fc.record({ size: fc.integer({ min: 1, max: 5 }), wait: milliseconds, latest: fc.boolean() });
const scenario = fc.record({
  messages: fc.array(planned, { maxLength: 20 }),
  concurrency: fc.integer({ min: 1, max: 16 }),
  batch: fc.option(batch, { nil: undefined }),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer S> ? S : never;
const delay = (after: number) => new Promise<void>((resolve) => setTimeout(resolve, after));
const placed = descriptor<number>('order.placed');

/** The indexes of the messages with this key that can be read. */
const committed = (messages: readonly Planned[], key: string | undefined) =>
  messages.flatMap((message, index) => (message.key === key && !message.unreadable ? [index] : []));

/** Runs a scenario. A value is the index of its message. */
async function run({ messages, concurrency, batch: batched }: Scenario) {
  const { onMessage, emit, write, ledger, dispatcher } = messaging();
  const handled: number[] = [];
  const batches: number[][] = [];
  const running = new Set<string | undefined>();
  const overlaps: string[] = [];
  let calls = 0;
  const handle = (given: readonly { readonly value: number }[], attempt: number) => {
    const values = given.map(({ value }) => value);
    const keys = new Set(values.map((value) => messages[value]!.key));
    for (const key of keys) if (running.has(key)) overlaps.push(`${values.join()} overlaps others of ${key}`);
    for (const key of keys) running.add(key);
    if (++calls > concurrency) overlaps.push(`${calls} run`);
    const end = () => {
      calls--;
      for (const key of keys) running.delete(key);
      if (values.some((value) => messages[value]!.failures >= attempt)) throw new Error('broken');
      handled.push(...values);
      batches.push(values);
    };
    const after = Math.max(...values.map((value) => messages[value]!.after));
    return after === 0 ? end() : delay(after).then(end);
  };
  onMessage(
    placed,
    (given, { attempt }) => handle(batched ? given : [given], attempt),
    { concurrency, ...(batched && { batch: batched }), onError: { attempts: 3, then: 'skip' } },
  ); // prettier-ignore
  for (const [index, { key, unreadable, pause }] of messages.entries()) {
    if (unreadable) write(placed.prefix, key ?? '');
    else emit('order.placed', index, key);
    await vi.advanceTimersByTimeAsync(pause);
  }
  await vi.runAllTimersAsync();
  return { handled, overlaps, batches, settled: ledger.settled, running: dispatcher.running };
}

test('whatever the durations, failures, batches and concurrency: the messages of one key are delivered in commit order, one at a time', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async (given) => {
      const { handled, overlaps, batches, settled, running } = await run(given);
      expect(overlaps).toEqual([]);
      expect([settled, running]).toEqual([true, 0]);
      const { messages, batch: batched } = given;
      for (const key of ['a', 'b', '', undefined]) {
        const delivered = handled.filter((index) => messages[index]!.key === key);
        if (batched?.latest !== true || key === undefined) expect(delivered).toEqual(committed(messages, key));
        else {
          // Ascending, without those that a newer message of the same batch replaced.
          expect(delivered).toEqual(delivered.toSorted((a, b) => a - b));
          expect(delivered.at(-1)).toBe(committed(messages, key).at(-1));
          for (const one of batches) expect(one.filter((index) => messages[index]!.key === key).length).toBeLessThan(2);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('messages with different keys, and those without one, do not wait for each other', async () => {
  const { onMessage, emit } = messaging();
  const started: unknown[] = [];
  onMessage(placed, ({ value }) => {
    started.push(value);
    return new Promise(() => {}); // never done
  }, { concurrency: 16 }); // prettier-ignore
  for (const key of ['a', 'b', '', undefined]) for (const nth of [1, 2]) emit('order.placed', [key, nth], key);
  expect(started).toEqual([['a', 1], ['b', 1], ['', 1], [null, 1]]); // prettier-ignore
});
