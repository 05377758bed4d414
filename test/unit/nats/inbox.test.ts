/** How a process of a group recognises redelivered messages. */
import { expect, test } from 'vitest';
import { Budget } from '../../../src/changes/budget.ts';
import { type Captured, LedgerTransaction } from '../../../src/changes/ledger.ts';
import { Inbox } from '../../../src/nats/inbox.ts';
import { StreamMessage } from '../../../src/nats/stream-message.ts';

function receiving() {
  const answers: string[] = [];
  const connection = {
    isClosed: () => false,
    publish: (reply: string, answer: Uint8Array) => answers.push(`${Buffer.from(answer).toString()} ${reply}`),
  };
  const budget = new Budget(
    1e6,
    () => {},
    () => {},
  );
  const inbox = new Inbox(budget, true, () => {});
  const message = (seq: number, time: string, deliveries = 1) =>
    new StreamMessage(
      { subject: 'walwatch.slot.jobs.1', data: new Uint8Array(), reply: reply(seq, time, deliveries) } as never,
      connection as never,
    );
  return { answers, inbox, message };
}

function reply(seq: number, time: string, deliveries = 1) {
  return `$JS.ACK.events.group.${deliveries}.${seq}.${deliveries}.${time}.0`;
}

function event(): Captured {
  const transaction = new LedgerTransaction({ xid: 1, finalLsn: 1n as never, committedAt: 0 });
  return { bytes: 10, holders: 0, transaction, ordinal: 0, annotations: {}, eventId: 'one' };
}

test('a redelivered message is known, while it is handled and after it is done', () => {
  const { answers, inbox, message } = receiving();
  const change = event();
  inbox.enter(change, message(5, '1700000000000000001'));
  expect(inbox.isKnown(message(5, '1700000000000000001', 2))).toBe(true);
  inbox.settle(change);
  expect(inbox.isKnown(message(5, '1700000000000000001', 3))).toBe(true);
  expect(answers).toEqual([`+ACK ${reply(5, '1700000000000000001', 2)}`, `+ACK ${reply(5, '1700000000000000001', 3)}`]);
});

test('another message with the sequence number of one that is done is not known', () => {
  const { answers, inbox, message } = receiving();
  const change = event();
  inbox.enter(change, message(5, '1700000000000000001'));
  inbox.settle(change);
  expect(inbox.isKnown(message(5, '1700000000000000002'))).toBe(false);
  expect(answers).toEqual([`+ACK ${reply(5, '1700000000000000001')}`]);
});

test('another message with the sequence number of one that is being handled is not acknowledged for it', () => {
  const { answers, inbox, message } = receiving();
  const [before, after] = [event(), event()];
  inbox.enter(before, message(5, '1700000000000000001'));
  const newer = message(5, '1700000000000000002');
  expect(inbox.isKnown(newer)).toBe(false);
  inbox.enter(after, newer);
  inbox.settle(before);
  expect(answers).toEqual([]);
  inbox.settle(after);
  expect(answers).toEqual([`+ACK ${reply(5, '1700000000000000002')}`]);
});
