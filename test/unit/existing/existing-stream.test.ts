import { expect, test } from 'vitest';
import { ExistingStream, type StreamFacts } from '../../../src/existing/existing-stream.ts';
import { Splices } from '../../../src/existing/splices.ts';

function streamOf(hasPassed: () => boolean) {
  const asked = { times: 0, flushes: 0 };
  const facts = {
    hasPassed,
    ask: () => void asked.times++,
    flush: () => Promise.resolve(asked.flushes++),
    opened: () => {},
  } as unknown as StreamFacts;
  return { stream: new ExistingStream(facts, new Splices()), asked };
}

test('the rest of a chunk waits until all that its snapshot sees has passed, and the server is asked to flush', async () => {
  let looks = 0;
  const { stream, asked } = streamOf(() => ++looks > 12);
  await stream.passed(1n, () => false);
  expect(looks).toBe(13);
  expect(asked).toEqual({ times: 2, flushes: 1 });
});

test('it stops waiting when the caller or the connection ends it', async () => {
  const { stream } = streamOf(() => false);
  let looks = 0;
  await stream.passed(1n, () => ++looks > 3);
  const waiting = stream.passed(1n, () => false);
  stream.close();
  await waiting;
});
