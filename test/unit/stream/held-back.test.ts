import type { Client } from 'pg';
import { expect, test } from 'vitest';
import type { WatchError } from '../../../src/errors.ts';
import { handlerSlow, RetainedWalMonitor, warningThreshold } from '../../../src/stream/held-back.ts';
import { recorder } from '../../support/recorder.ts';

/** A server with the WAL that the slot retains, inspection by inspection; undefined: the slot does not exist. */
function monitoring(threshold: number | undefined, ...retained: readonly (number | null | undefined)[]) {
  const warnings = recorder<WatchError>();
  const asked: unknown[] = [];
  const monitor = new RetainedWalMonitor('worker', threshold, warnings);
  const client = {
    query: (_: string, values: unknown[]) => {
      const bytes = retained[asked.push(values) - 1];
      return Promise.resolve({ rows: bytes === undefined ? [] : [{ current: '0/1', retained: bytes }] });
    },
  } as unknown as Client;
  return {
    warnings: warnings.all,
    asked,
    inspect: (limit?: number, heldBy?: string) => monitor.inspect(client, limit, heldBy),
  };
}

test("the user's threshold comes first, then 80 % of the server's limit; otherwise the threshold is undefined", () => {
  expect(warningThreshold(5, 100)).toBe(5);
  expect(warningThreshold(0, 100)).toBe(0);
  expect(warningThreshold(undefined, 100)).toBe(80);
  expect(warningThreshold(undefined, undefined)).toBeUndefined();
});

test('it warns once above the threshold, and again after it has been below', async () => {
  const { warnings, inspect } = monitoring(100, 100, 101, 500, 50, 101);
  const counts: number[] = [];
  for (let times = 0; times < 5; times++) {
    await inspect();
    counts.push(warnings.length);
  }
  expect(counts).toEqual([0, 1, 1, 1, 2]);
  expect(warnings[0]).toMatchObject({ code: 'WAL_RETAINED' });
  expect(warnings[0]!.message).toBe("the slot 'worker' retains 101 bytes of WAL, more than the threshold of 100");
});

test('the warning names the subscription that it waits for, or that everything is handled', async () => {
  const { warnings, inspect } = monitoring(undefined, 100, 0, 100);
  await inspect(100, 'users:updated');
  await inspect(100);
  await inspect(100, undefined);
  expect(warnings[0]!.solution).toContain('The slot waits for users:updated.');
  expect(warnings[1]!.solution).toContain('All events are handled');
});

test("it returns the server's end of WAL, and does not warn about a slot that is missing or has no WAL", async () => {
  const { warnings, asked, inspect } = monitoring(0, 0, null, undefined);
  expect([await inspect(), await inspect(), await inspect()]).toEqual(['0/1', '0/1', undefined]);
  expect([warnings, asked[0]]).toEqual([[], ['worker']]);
});

test('a subscription that holds the slot back is named with its event and its error', () => {
  const since = new Date(Date.UTC(2024, 0, 1));
  const held = { subscription: 'mail', eventId: '0/1/0', since, attempt: 3, error: undefined };
  const hanging = handlerSlow(held);
  expect(hanging).toMatchObject({ code: 'HANDLER_SLOW', cause: undefined });
  expect(hanging.message).toBe(
    'mail has been handling event 0/1/0 since 2024-01-01T00:00:00.000Z, attempt 3: the slot cannot advance',
  );
  const broken = new Error('no route to host');
  expect(handlerSlow({ ...held, error: broken })).toMatchObject({
    message: expect.stringContaining('attempt 3, failing (no route to host): '),
    cause: broken,
  });
  expect(handlerSlow({ ...held, error: 'text' }).message).toContain('failing (not with an Error)');
});
