import pino from 'pino';
import { expect, test, vi } from 'vitest';
import type { ExistingStream } from '../../../src/existing/existing-stream.ts';
import { SubscriptionReading } from '../../../src/existing/subscription-reading.ts';

test('beside one connection a subscription is read once, however often that is asked for', async () => {
  const use = vi.fn(() => new Promise<never>(() => {}));
  const stream = { closed: false, facts: {}, use } as unknown as ExistingStream;
  const watcher = { type: 'inserted', table: { schema: 'public', name: 'users' } };
  const reading = new SubscriptionReading(
    { active: true, name: 'copy' } as never,
    [{ name: 'users:inserted', watcher }] as never,
    { version: 'v1', afterGap: 'read', chunk: 1000, most: Infinity },
    { log: pino({ level: 'silent' }), warn: vi.fn() } as never,
  );
  reading.progress.end(new Error('not waited for'));
  for (let times = 0; times < 3; times++) void reading.read(stream);
  await new Promise(setImmediate);
  expect(use).toHaveBeenCalledTimes(1);
  reading.end(new Error('the test is over'), true);
});
