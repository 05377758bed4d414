import { expect, test } from 'vitest';
import { deferred, until } from '../support/until.ts';

test("returns the condition's result when it is truthy, for synchronous and asynchronous conditions", async () => {
  let calls = 0;
  expect(await until(() => ++calls === 3 && calls, { describe: 'three calls' })).toBe(3);
  const later = deferred<string>();
  const waiting = until(() => later.promise, { describe: 'a promise' });
  later.resolve('done');
  expect(await waiting).toBe('done');
});

test('a timeout names the awaited condition and its current state', async () => {
  let calls = 0;
  const describe = () => `the moon, asked ${calls} times`;
  await expect(until(() => ++calls < 0, { describe, timeout: 0 })).rejects.toThrow(
    /Waited \d+ ms for the moon, asked \d+ times/,
  );
});

test('an error of the condition is thrown at once', async () => {
  const broken = () => Promise.reject(new Error('broken'));
  await expect(until(broken, { describe: 'nothing' })).rejects.toThrow('broken');
});
