import { expect, test, vi } from 'vitest';
import { useFakeTime } from '../../support/fake-time.ts';
import { gated } from '../../support/gating.ts';

const tick = useFakeTime();

test('later changes of a transaction that passed pass at once', async () => {
  const { gate, passed, questions, connect, begin, push, answer } = gated();
  connect();
  const transaction = begin(10);
  push(transaction);
  await answer(11);
  for (let times = 0; times < 2; times++) push(transaction);
  gate.connect(undefined);
  push(transaction); // known to be visible, over any connection
  expect([passed, questions.length]).toEqual([[10, 10, 10, 10], 1]);
});

test('without a connection changes wait, and the next connection is asked at once', async () => {
  const { gate, passed, questions, connect, send, answer } = gated();
  send(10);
  expect([gate.waiting, questions.length]).toEqual([true, 0]);
  connect();
  await answer(11);
  expect(passed).toEqual([10]);
});

test('an answer of a lost connection does not count: the new one is asked', async () => {
  const { gate, passed, questions, connect, send, answer } = gated();
  connect();
  expect(questions).toEqual([]);
  send(10);
  gate.connect(undefined);
  questions[0]!.resolve({ xmin: 99, xmax: 99, inProgress: new Set() });
  await tick();
  expect(passed).toEqual([]);
  connect();
  expect(questions).toHaveLength(2);
  await answer(11);
  expect(passed).toEqual([10]);
});

test('visibility over a lost connection is not assumed for the next', async () => {
  const { passed, questions, connect, send, answer } = gated();
  connect();
  send(10);
  await answer(20);
  connect();
  send(11);
  expect([passed, questions.length]).toEqual([[10], 2]);
});

test('a question that fails with its connection, and a pause before the loss, disturb nothing', async () => {
  const { gate, passed, questions, connect, send, answer } = gated();
  connect();
  send(10);
  questions[0]!.reject(new Error('lost'));
  await tick();
  connect();
  await answer(20, 10);
  expect(vi.getTimerCount()).toBe(1);
  gate.connect(undefined);
  expect(vi.getTimerCount()).toBe(0);
  connect();
  await answer(11);
  expect(passed).toEqual([10]);
});

test('questions that were pending when the connection was lost do not count for the next one', async () => {
  const { gate, passed, failures, questions, connect, send, answerTo, answer } = gated();
  connect();
  send(10);
  await tick(1000);
  const lost = [...questions];
  expect(lost.length).toBeGreaterThan(2);
  gate.connect(undefined);
  await tick(1000);
  expect(questions).toHaveLength(lost.length);
  await answerTo(lost[0]!, 20);
  connect();
  await answerTo(lost[1]!, 20);
  for (const { reject } of lost.slice(2)) reject(new Error('the connection has ended'));
  await tick(1000);
  expect([passed, failures, questions.length]).toEqual([[], [], lost.length * 2]);
  await answer(11);
  expect(passed).toEqual([10]);
});

test('the pauses start small again with each connection', async () => {
  const { questions, connect, send, answer } = gated();
  connect();
  send(10);
  for (const pause of [0, 0, 0, 1, 2, 4]) {
    await answer(20, 10);
    await tick(pause);
  }
  connect();
  for (let times = 0; times < 4; times++) await answer(20, 10);
  const before = questions.length;
  await tick(1);
  expect(questions.length - before).toBe(1);
});

test('cleared changes never pass, and hold nothing', async () => {
  const { gate, ledger, passed, connect, send, answer } = gated();
  connect();
  for (const xid of [10, 11]) send(xid);
  gate.clear();
  expect([gate.waiting, ledger.settled]).toEqual([false, true]);
  await answer(20);
  expect(passed).toEqual([]);
  send(12);
  expect(passed).toEqual([12]);
});
