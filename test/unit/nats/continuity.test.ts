/** Finds messages that were dropped from a stream before they were read. */
import type { StreamInfo, StreamState } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { Continuity, type Position } from '../../../src/nats/continuity.ts';

const stateOf = (first: number, last: number, deleted = 0) =>
  ({ first_seq: first, last_seq: last, num_deleted: deleted }) as StreamState;
const infoOf = (created: string, first: number, last: number) =>
  ({ created, state: stateOf(first, last) }) as StreamInfo;

function reading(next = 1) {
  const position: Position = { created: 'once', consumer: undefined, next };
  return { position, continuity: new Continuity(position, 'accounts') };
}

test('a new reader begins at the end of the stream and has missed nothing', () => {
  const { position, continuity } = reading();
  position.created = undefined;
  expect(continuity.locate(infoOf('once', 5, 20))).toEqual({ isOther: false, missed: undefined });
  expect(position.next).toBe(21);
});

test('a filtered-out message is not missed while the stream still has it', () => {
  const { continuity, position } = reading();
  continuity.advance(50);
  position.next = 51;
  expect(continuity.look(stateOf(1, 60), 61)).toBeUndefined();
  expect(continuity.look(stateOf(61, 60), 0)).toBeUndefined();
});

test('messages that were dropped unread are reported once, with or without later messages', () => {
  const { continuity, position } = reading(351);
  expect(continuity.look(stateOf(2001, 2000), 0)).toMatch(/^1650 messages from 351 to 2000/);
  expect(continuity.look(stateOf(2001, 2000), 0)).toBeUndefined();
  const other = reading(351);
  other.continuity.advance(2001);
  other.position.next = 2002;
  expect(other.continuity.look(stateOf(2001, 2001), 0)).toMatch(/^1650 messages from 351 to 2000/);
  expect(position.next).toBe(2001);
});

test('of the messages deleted in the middle only the unread ones are reported', () => {
  const { continuity, position } = reading(1);
  expect(continuity.listsDeleted(stateOf(1, 20, 3))).toBe(true);
  continuity.deleted([2, 7, 15]);
  position.next = 4; // 1 to 3 have arrived
  continuity.advance(10);
  position.next = 11;
  expect(continuity.look(stateOf(1, 20, 3), 0)).toMatch(/^1 messages from 7 to 7/);
  expect(continuity.listsDeleted(stateOf(1, 20, 3))).toBe(false);
  expect(continuity.look(stateOf(1, 20, 3), 21)).toMatch(/^1 messages from 15 to 15/);
});

test('a stream that was re-created, or ends before the position, is read from its beginning', () => {
  for (const info of [infoOf('again', 1, 500), infoOf('once', 1, 5)]) {
    const { continuity, position } = reading(100);
    const { isOther, missed } = continuity.locate(info);
    expect(isOther).toBe(true);
    expect(missed).toMatch(/deleted and re-created|lost its last messages/);
    expect(position.next).toBe(1);
  }
});

test('a re-created consumer is reported if it begins after unread messages', () => {
  const { continuity } = reading(5);
  expect(continuity.meet('first', 1)).toBeUndefined();
  expect(continuity.meet('second', 5)).toBeUndefined();
  expect(continuity.meet('third', 9)).toMatch(/^4 messages from 5 to 8/);
});
