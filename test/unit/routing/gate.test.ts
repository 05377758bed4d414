import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Budget } from '../../../src/delivery/budget.ts';
import { Ledger } from '../../../src/delivery/ledger.ts';
import type { Snapshot } from '../../../src/replication/visibility.ts';
import { VisibilityGate } from '../../../src/routing/gate.ts';
import { changeOf } from '../../support/sample-changes.ts';
import { planFor, usersTable } from '../../support/sample-tables.ts';
import { type Deferred, deferred } from '../../support/until.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());
const tick = () => vi.advanceTimersByTimeAsync(0);
const plan = planFor(usersTable(), ['users', 'inserted']);

/** A gate that asks a server which answers when it is told to. */
function gated() {
  const ledger = new Ledger(new Budget(1_000_000, vi.fn(), vi.fn()), vi.fn());
  const passed: number[] = [];
  const gate = new VisibilityGate(ledger, (change) => passed.push(change.transaction.xid));
  const questions: Deferred<Snapshot>[] = [];
  const connect = () =>
    gate.connect(() => {
      questions.push(deferred());
      return questions.at(-1)!.promise;
    });
  /** All transactions below `xmax` are visible, but those in progress. */
  const answer = (xmax: number, ...inProgress: number[]) => {
    questions.at(-1)!.resolve({ xmin: Math.min(xmax, ...inProgress), xmax, inProgress: new Set(inProgress) });
    return tick();
  };
  const begin = (xid: number) => ledger.begin({ finalLsn: BigInt(xid), xid, committedAt: 0 });
  const push = (transaction: ReturnType<typeof begin>) => gate.push(changeOf(plan, 'inserted', {}, { transaction }));
  /** A whole transaction of one change. */
  const send = (xid: number) => {
    const transaction = begin(xid);
    push(transaction);
    ledger.commit(transaction, BigInt(xid) + 1n);
  };
  return { gate, ledger, passed, questions, connect, answer, begin, push, send };
}

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

test('later changes of a transaction that passed pass at once', async () => {
  const { gate, passed, questions, connect, begin, push, answer } = gated();
  connect();
  const transaction = begin(10);
  push(transaction);
  await answer(11);
  for (let times = 0; times < 2; times++) push(transaction);
  gate.connect(undefined);
  push(transaction); // known to be visible, whatever the connection
  expect([passed, questions.length]).toEqual([[10, 10, 10, 10], 1]);
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

test('without a connection changes wait, and the next connection is asked at once', async () => {
  const { gate, passed, questions, connect, send, answer } = gated();
  send(10);
  expect([gate.waiting, questions.length]).toEqual([true, 0]);
  connect();
  await answer(11);
  expect(passed).toEqual([10]);
});

test('an answer of a lost connection says nothing: the new one is asked', async () => {
  const { gate, passed, questions, connect, send, answer } = gated();
  connect();
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

test('what was visible over a lost connection is not taken for visible over the next', async () => {
  const { passed, questions, connect, send, answer } = gated();
  connect();
  send(10);
  await answer(20);
  connect();
  send(11);
  expect([passed, questions.length]).toEqual([[10], 2]);
});

test('a question that fails with its connection disturbs nothing, nor does a pause that was going on', async () => {
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

test('what is cleared is never passed on, and holds nothing', async () => {
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
