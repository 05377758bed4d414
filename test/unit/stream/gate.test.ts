import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { gated } from '../../support/gating.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('a change waits until a new snapshot sees its transaction, and is not handled before', async () => {
  const { gate, ledger, passed, connect, send, answer } = gated();
  connect();
  send(10);
  expect([passed, gate.waiting, ledger.confirmed]).toEqual([[], true, undefined]);
  await answer(11);
  expect([passed, gate.waiting, ledger.confirmed]).toEqual([[10], false, 11n]);
});

test('at most one question is on its way, and one answer lets many transactions pass, in order', async () => {
  const { passed, questions, connect, send, answer } = gated();
  connect();
  for (const xid of [12, 10, 11]) send(xid);
  expect(questions).toHaveLength(1);
  await answer(13);
  expect([passed, questions.length]).toEqual([[12, 10, 11], 1]);
});

test("a message outside of transactions is nobody's to see: it passes at once, but overtakes nothing", async () => {
  const { passed, questions, connect, send, answer } = gated();
  connect();
  send(0);
  expect([passed, questions.length]).toEqual([[0], 0]);
  send(10);
  send(0);
  expect(passed).toEqual([0]);
  await answer(11);
  expect(passed).toEqual([0, 10, 0]);
});

test('what an answer has shown to be visible passes at once, without another question', async () => {
  const { passed, questions, connect, send, answer } = gated();
  connect();
  send(10);
  await answer(20, 15);
  for (const xid of [11, 14]) send(xid);
  expect([passed, questions.length]).toEqual([[10, 11, 14], 1]);
  send(15);
  expect([passed, questions.length]).toEqual([[10, 11, 14], 2]);
});

test('nothing overtakes: what is visible waits behind what is not', async () => {
  const { passed, connect, send, answer } = gated();
  connect();
  send(12);
  await answer(20, 12);
  send(10);
  expect(passed).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  await answer(20);
  expect(passed).toEqual([12, 10]);
});

test('while something passes the server is asked again at once; else less and less often, every 50 ms at last', async () => {
  const { passed, questions, connect, send, answer } = gated();
  connect();
  for (const xid of [10, 11]) send(xid);
  await answer(20, 11);
  expect([passed, questions.length]).toEqual([[10], 2]);
  const pauses: number[] = [];
  for (let times = 0; times < 9; times++) {
    const before = questions.length;
    await answer(20, 11);
    let pause = 0;
    for (; questions.length === before; pause++) await vi.advanceTimersByTimeAsync(1);
    pauses.push(pause);
  }
  expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 50, 50, 50]);
  send(12); // does not hurry it
  expect(questions).toHaveLength(11);
  await answer(20);
  expect([passed, vi.getTimerCount()]).toEqual([[10, 11, 12], 0]);
});
