import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { dispatching, recipient } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';

useFakeTime();

interface Planned {
  readonly id: number;
  /** The primary key before the update; null: unknown. */
  readonly oldId: number | null | undefined;
  /** How each attempt ends, and after how many milliseconds; 0: synchronously. The last one succeeds. */
  readonly failures: readonly { readonly after: number }[];
  readonly after: number;
  /** Milliseconds until the next event arrives. */
  readonly pause: number;
}

const milliseconds = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 300 }));
const id = fc.integer({ min: 1, max: 4 });
const planned: fc.Arbitrary<Planned> = fc.record({
  id,
  oldId: fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, id, fc.constant(null)),
  failures: fc.array(fc.record({ after: milliseconds }), { maxLength: 2 }),
  after: milliseconds,
  pause: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, milliseconds),
});
const recordsOf = ({ id: now, oldId }: Planned) => [now, oldId ?? now];
const related = (one: Planned, other: Planned) =>
  one.oldId === null || other.oldId === null || recordsOf(one).some((record) => recordsOf(other).includes(record));
const delay = (after: number) => new Promise<void>((resolve) => setTimeout(resolve, after));

test('whatever the durations, failures and concurrency: events of one record never overlap or overtake, and each is handled once', async () => {
  const scenario = fc.tuple(fc.array(planned, { maxLength: 15 }), fc.integer({ min: 1, max: 4 }));
  await fc.assert(
    fc.asyncProperty(scenario, async ([events, concurrency]) => {
      const { send, ledger, dispatcher } = dispatching();
      const running = new Set<number>();
      const handled: number[] = [];
      const violations: string[] = [];
      const one = recipient(
        (_, { commitLsn, attempt }) => {
          const index = Number(`0x${commitLsn.slice(2)}`) - 1;
          const event = events[index]!;
          const failure = event.failures[attempt - 1];
          for (const other of running)
            if (related(events[other]!, event)) violations.push(`${index} overlaps ${other}`);
          for (let earlier = 0; earlier < index; earlier++) {
            const before = concurrency === 1 || related(events[earlier]!, event);
            if (before && !handled.includes(earlier)) violations.push(`${index} overtakes ${earlier}`);
          }
          running.add(index);
          if (running.size > concurrency) violations.push(`${running.size} run`);
          const end = () => {
            running.delete(index);
            if (failure) throw new Error('broken');
            handled.push(index);
          };
          const { after } = failure ?? event;
          return after === 0 ? end() : delay(after).then(end);
        },
        { concurrency },
      );
      for (const [index, event] of events.entries()) {
        const { oldId } = event;
        send(one, String(event.id), oldId === undefined ? {} : { oldId: oldId === null ? null : String(oldId) });
        await vi.advanceTimersByTimeAsync(event.pause);
        const unhandled = events.findIndex((__, other) => !handled.includes(other) || other > index);
        const prefix = unhandled === -1 ? events.length : unhandled;
        expect(ledger.confirmed).toBe(prefix === 0 ? undefined : BigInt(prefix));
      }
      await vi.runAllTimersAsync();
      expect(violations).toEqual([]);
      expect(handled.toSorted((a, b) => a - b)).toEqual(events.map((_, index) => index));
      expect(ledger.settled).toBe(true);
      expect([dispatcher.running, dispatcher.heldBy, one.lane]).toEqual([0, undefined, undefined]);
    }),
    { numRuns: 200 },
  );
});
