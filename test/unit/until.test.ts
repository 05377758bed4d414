import { expect, test } from 'vitest';
import { deferred, until } from '../support/until.ts';

test('gives what the condition gives once it is truthy, synchronous or not', async () => {
  let calls = 0;
  expect(await until(() => ++calls === 3 && calls, { describe: 'three calls' })).toBe(3);
  const later = deferred<string>();
  const waiting = until(() => later.promise, { describe: 'a promise' });
  later.resolve('done');
  expect(await waiting).toBe('done');
});

test('names what was awaited, and how far it has come', async () => {
  let calls = 0;
  const describe = () => `the moon, asked ${calls} times`;
  await expect(until(() => ++calls < 0, { describe, timeout: 0 })).rejects.toThrow(
    /Waited \d+ ms for the moon, asked \d+ times/,
  );
});

test('what the condition throws is not waited away', async () => {
  const broken = () => Promise.reject(new Error('broken'));
  await expect(until(broken, { describe: 'nothing' })).rejects.toThrow('broken');
});
