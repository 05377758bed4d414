import { describe, expect, test, vi } from 'vitest';
import { Budget } from '../../../src/changes/budget.ts';
import { type Captured, Ledger } from '../../../src/changes/ledger.ts';
import { CapturedMessage } from '../../../src/changes/message.ts';
import { Intake } from '../../../src/stream/intake.ts';
import { planFor, usersTable } from '../../support/sample-tables.ts';

const plan = planFor(usersTable(), ['users', 'inserted']);

function intaking() {
  const received: Captured[] = [];
  const ledger = new Ledger(new Budget(1_000_000, vi.fn(), vi.fn()), vi.fn());
  const intake = new Intake(ledger, {
    emit: (captured) => {
      ledger.hold(captured);
      received.push(captured);
    },
    wantsCommits: false,
    wantsMessages: () => true,
    refusedAnnotation: () => {},
  });
  const begin = (finalLsn: bigint) => intake.begin({ tag: 'begin', finalLsn, committedAt: 0, xid: 7 });
  const commit = (commitLsn: bigint) => intake.commit({ tag: 'commit', commitLsn, endLsn: commitLsn + 8n });
  const insert = () => intake.change({ tag: 'insert', relation: plan.relation, new: ['1'] }, () => plan, 100);
  const message = (lsn: bigint, transactional = true, prefix = 'outbox') =>
    intake.message(
      { tag: 'message', transactional, lsn, prefix, content: prefix === 'nobody' ? undefined : Buffer.from('x') },
      100,
    );
  return {
    intake,
    ledger,
    received,
    begin,
    commit,
    insert,
    message,
    ids: () => received.map(({ eventId }) => eventId),
  };
}

test('messages have their own numbers, so they do not renumber changes', () => {
  const { begin, commit, insert, message, ids } = intaking();
  begin(0x100n);
  message(1n);
  insert();
  message(2n);
  insert();
  commit(0x100n);
  begin(0x200n);
  message(3n);
  expect(ids()).toEqual(['0/100/m0', '0/100/0', '0/100/m1', '0/100/1', '0/200/m0']);
});

test('a message of an outbox counts with its parsed value', () => {
  const { begin, message, received } = intaking();
  begin(0x100n);
  message(1n);
  message(2n, true, 'walwatch:message:order.placed');
  const [plain, parsed] = received as CapturedMessage[];
  expect(parsed!.bytes - plain!.bytes).toBe(300); // three times its 100 bytes
});

test('a message has its place among the changes of its transaction', () => {
  const { begin, insert, message, received } = intaking();
  begin(0x100n);
  insert();
  message(1n);
  insert();
  expect(received.map(({ ordinal }) => ordinal)).toEqual([0, 1, 1]);
  expect(received[1]!.bytes).toBeGreaterThan(100);
  expect((received[1] as CapturedMessage).event).toEqual({
    prefix: 'outbox',
    content: Buffer.from('x'),
    transactional: true,
  });
});

test('a message outside of transactions is acknowledged exactly at its end, once it is handled', () => {
  const { ledger, message, received } = intaking();
  message(0x150n, false);
  expect(received).toMatchObject([{ eventId: '0/150/n0', ordinal: 0, transaction: { commitLsn: '0/150', xid: 0 } }]);
  expect(received[0]!.bytes).toBeGreaterThan(100);
  expect(ledger.confirmed).toBeUndefined();
  ledger.settle(received[0]!);
  expect(ledger.confirmed).toBe(0x150n);
});

test('a transaction whose commit record begins where a message ends is a different one', () => {
  const { begin, commit, insert, message, ids } = intaking();
  message(0x150n, false);
  begin(0x150n);
  insert();
  commit(0x150n);
  message(0x160n, false);
  expect(ids()).toEqual(['0/150/n0', '0/150/0', '0/160/n0']);
});

test('a reconnect delivers no message twice, inside or outside of transactions', () => {
  const { intake, ledger, received, begin, commit, insert, message, ids } = intaking();
  const send = (whole: boolean) => {
    message(0x50n, false);
    message(0x60n, false);
    begin(0x100n);
    message(0x90n);
    insert();
    message(0x91n);
    if (!whole) return;
    insert();
    message(0x92n);
    commit(0x100n);
    message(0x150n, false);
  };
  for (const whole of [false, true, true]) {
    send(whole);
    intake.connect(true);
  }
  expect(ids()).toEqual([
    '0/50/n0', '0/60/n0', '0/100/m0', '0/100/0', '0/100/m1', '0/100/1', '0/100/m2', '0/150/n0',
  ]); // prettier-ignore
  for (const captured of received) ledger.settle(captured);
  expect([ledger.confirmed, ledger.settled]).toEqual([0x150n, true]);
});

test('messages without a subscription are counted and acknowledged, but not delivered', () => {
  const { begin, commit, message, ids, ledger, received } = intaking();
  begin(0x10n);
  message(0x8n, true, 'nobody');
  message(0x9n);
  commit(0x10n);
  message(0x30n, false, 'nobody');
  expect(ids()).toEqual(['0/10/m1']);
  expect(ledger.settled).toBe(false);
  ledger.settle(received[0]!);
  expect([ledger.settled, ledger.confirmed]).toEqual([true, 0x30n]);
});

describe('the server sends messages only while a subscription needs them:', () => {
  test('a transaction received in part without messages continues with all of its changes, none twice', () => {
    const { intake, begin, commit, insert, message, ids } = intaking();
    begin(0x100n);
    for (let count = 0; count < 3; count++) insert();
    intake.connect(true);
    begin(0x100n);
    message(1n);
    insert();
    message(2n);
    for (let count = 0; count < 4; count++) insert();
    commit(0x100n);
    expect(ids()).toEqual(['0/100/0', '0/100/1', '0/100/2', '0/100/m0', '0/100/m1', '0/100/3', '0/100/4']);
  });

  test('a transaction received in part with messages continues without them, and then with them again', () => {
    const { intake, begin, commit, insert, message, ids } = intaking();
    const send = (withMessages: boolean, rows: number) => {
      begin(0x100n);
      for (let count = 0; count < rows; count++) {
        if (withMessages) message(1n);
        insert();
      }
    };
    send(true, 2);
    intake.connect(true);
    send(false, 3);
    intake.connect(true);
    send(true, 4);
    commit(0x100n);
    expect(ids()).toEqual([
      '0/100/m0', '0/100/0', '0/100/m1', '0/100/1', '0/100/2', '0/100/m2', '0/100/m3', '0/100/3',
    ]); // prettier-ignore
  });
});
