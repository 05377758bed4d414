import { describe, expect, test, vi } from 'vitest';
import type { CapturedChange } from '../../../src/changes/change.ts';
import type { Ledger } from '../../../src/changes/ledger.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { gated } from '../../support/gating.ts';

useFakeTime();

test('a change waits until a new snapshot sees its transaction, and is not handled before', async () => {
  const { gate, ledger, passed, connect, send, answer } = gated();
  connect();
  send(10);
  expect([passed, gate.waiting, ledger.confirmed]).toEqual([[], true, undefined]);
  await answer(11);
  expect([passed, gate.waiting, ledger.confirmed]).toEqual([[10], false, 11n]);
});

test('with quick answers one question is pending at a time, and one answer lets many transactions pass, in order', async () => {
  const { passed, questions, connect, send, answer } = gated();
  connect();
  for (const xid of [12, 10, 11]) send(xid);
  expect(questions).toHaveLength(1);
  await answer(13);
  expect([passed, questions.length]).toEqual([[12, 10, 11], 1]);
});

test('a message outside of transactions passes without a question, but does not overtake', async () => {
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

test('a transaction that an answer has shown to be visible passes at once, without another question', async () => {
  const { passed, questions, connect, send, answer } = gated();
  connect();
  send(10);
  await answer(20, 15);
  for (const xid of [11, 14]) send(xid);
  expect([passed, questions.length]).toEqual([[10, 11, 14], 1]);
  send(15);
  expect([passed, questions.length]).toEqual([[10, 11, 14], 2]);
});

test('nothing overtakes: a visible change waits behind an invisible one', async () => {
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

test('while changes pass the server is asked again at once; after three answers that let nothing pass, less and less often', async () => {
  const { passed, questions, connect, send, answer } = gated();
  connect();
  for (const xid of [10, 11]) send(xid);
  await answer(20, 11);
  expect([passed, questions.length]).toEqual([[10], 2]);
  const pauses: number[] = [];
  for (let times = 0; times < 12; times++) {
    const before = questions.length;
    await answer(20, 11);
    let pause = 0;
    for (; questions.length === before; pause++) await vi.advanceTimersByTimeAsync(1);
    pauses.push(pause);
  }
  expect(pauses).toEqual([0, 0, 0, 1, 2, 4, 8, 16, 32, 50, 50, 50]);
  send(12); // arrivals do not hurry it
  expect(questions).toHaveLength(14);
  await answer(20);
  expect([passed, vi.getTimerCount()]).toEqual([[10, 11, 12], 0]);
});

describe('with slow answers', () => {
  test('more questions are sent while the first is pending, at intervals and up to a limit', async () => {
    const { passed, questions, connect, send, answerTo } = gated();
    connect();
    send(10);
    const sent: number[] = [];
    for (let time = 0; time < 200; time++) {
      if (questions.length > sent.length) sent.push(time);
      await vi.advanceTimersByTimeAsync(1);
    }
    expect(sent).toEqual(Array.from({ length: 16 }, (_, index) => index * 4));
    send(11);
    expect(questions).toHaveLength(16);
    await answerTo(questions[0]!, 11); // asked before 11 arrived
    expect([passed, questions.length]).toEqual([[10], 17]);
    await answerTo(questions[1]!, 12);
    expect(passed).toEqual([10, 11]);
    await vi.advanceTimersByTimeAsync(200);
    expect(questions).toHaveLength(17); // nothing waits
  });

  test('a new change is asked about in the next interval, or at once when no question is pending', async () => {
    const { passed, questions, connect, send, answerTo } = gated();
    connect();
    send(10);
    await vi.advanceTimersByTimeAsync(3);
    for (const xid of [11, 12]) send(xid);
    expect(questions).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(questions).toHaveLength(2);
    await answerTo(questions[0]!, 11);
    await answerTo(questions[1]!, 13);
    expect(passed).toEqual([10, 11, 12]);
    send(13);
    expect(questions).toHaveLength(3);
  });

  test('an answer to a question from before a transaction arrived does not slow down the questions', async () => {
    const { passed, questions, connect, send, answerTo } = gated();
    connect();
    send(10);
    await vi.advanceTimersByTimeAsync(40);
    send(11);
    const before = questions.length;
    for (const question of questions.slice(0, before)) await answerTo(question, 11);
    expect([passed, questions.length]).toEqual([[10], before + 1]);
  });
});

test('the waiting time is that of the first change that waits now', async () => {
  const { gate, connect, send, answer } = gated();
  connect();
  const begin = Date.now();
  for (const xid of [10, 11]) send(xid);
  await vi.advanceTimersByTimeAsync(900);
  expect(gate.waitingSince).toBe(begin);
  await answer(20, 11);
  expect(gate.waitingSince).toBe(begin + 900);
  await vi.advanceTimersByTimeAsync(5000);
  expect(gate.waitingSince).toBe(begin + 900);
  await answer(20);
  expect(gate.waitingSince).toBeUndefined();
});

describe('waiting changes pass only as memory for their deliveries allows:', () => {
  /** Ten subscriptions hold each change. */
  const fanOut = () => {
    const held: CapturedChange[] = [];
    const pass = (change: CapturedChange, ledger: Ledger) => {
      for (let count = 0; count < 10; count++) {
        ledger.hold(change);
        held.push(change);
      }
    };
    const one = gated({ highWaterMark: 10_000, pass });
    return { ...one, settle: (count: number) => held.splice(0, count).forEach((change) => one.ledger.settle(change)) };
  };

  test('the rest waits, in order, until some have settled, and does not count as waiting for visibility', async () => {
    const { gate, passed, connect, send, answer, settle, questions } = fanOut();
    connect();
    for (let xid = 1; xid <= 8; xid++) send(xid);
    await answer(10);
    const first = passed.length;
    expect(first).toBeLessThan(5);
    expect([gate.waiting, gate.waitingSince]).toEqual([false, undefined]);
    send(9); // arrives after them, although it is visible
    vi.advanceTimersByTime(100);
    expect(passed).toHaveLength(first);
    for (let round = 0; round < 10; round++) {
      settle(20);
      vi.advanceTimersByTime(100);
    }
    expect(passed).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(questions).toHaveLength(1);
  });

  test('memory of changes that only wait here does not stop them: only letting them pass can free it', async () => {
    const { passed, connect, send, answer } = gated({ highWaterMark: 3 });
    connect();
    for (let xid = 1; xid <= 100; xid++) send(xid);
    await answer(101);
    expect(passed).toHaveLength(100);
  });

  test('a connection that is lost in the meantime lets nothing pass', async () => {
    const { gate, passed, connect, send, answer, settle } = fanOut();
    connect();
    for (let xid = 1; xid <= 8; xid++) send(xid);
    await answer(9);
    const first = passed.length;
    gate.connect(undefined);
    settle(100);
    vi.advanceTimersByTime(100);
    expect(passed).toHaveLength(first);
    connect();
    await answer(9);
    expect(passed.slice(0, first + 1)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].slice(0, first + 1));
  });

  test('an exception in a later stage ends the connection, and is not uncaught', async () => {
    let broken = false;
    const held: CapturedChange[] = [];
    const { failures, connect, send, answer, ledger } = gated({
      highWaterMark: 1,
      pass: (change, of) => {
        if (broken) throw new Error('broken');
        of.hold(change);
        of.hold(change);
        held.push(change);
      },
    });
    connect();
    for (const xid of [1, 2]) send(xid);
    await answer(3);
    broken = true;
    for (const change of held) for (let count = 0; count < 2; count++) ledger.settle(change);
    vi.advanceTimersByTime(100);
    expect(failures).toEqual([new Error('broken')]);
  });
});
