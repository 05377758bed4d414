/** What a stream has, compared with what was read of it. */
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

test('who begins hears what comes from then on, and has missed nothing', () => {
  const { position, continuity } = reading();
  position.created = undefined;
  expect(continuity.locate(infoOf('once', 5, 20))).toEqual({ isOther: false, missed: undefined });
  expect(position.next).toBe(21);
});

test('what a filter passes over is not missed, as long as the stream still has it', () => {
  const { continuity, position } = reading();
  continuity.advance(50);
  position.next = 51;
  expect(continuity.look(stateOf(1, 60), 61)).toBeUndefined();
  expect(continuity.look(stateOf(61, 60), 0)).toBeUndefined();
});

test('what the stream dropped before it was read is told once, whether or not something came after it', () => {
  const { continuity, position } = reading(351);
  expect(continuity.look(stateOf(2001, 2000), 0)).toMatch(/^1650 messages from 351 to 2000/);
  expect(continuity.look(stateOf(2001, 2000), 0)).toBeUndefined();
  const other = reading(351);
  other.continuity.advance(2001);
  other.position.next = 2002;
  expect(other.continuity.look(stateOf(2001, 2001), 0)).toMatch(/^1650 messages from 351 to 2000/);
  expect(position.next).toBe(2001);
});

test('of what was deleted in the middle only what was passed over is told', () => {
  const { continuity, position } = reading(1);
  expect(continuity.listsDeleted(stateOf(1, 20, 3))).toBe(true);
  continuity.deleted([2, 7, 15]);
  position.next = 4; // 1 to 3 have come
  continuity.advance(10);
  position.next = 11;
  expect(continuity.look(stateOf(1, 20, 3), 0)).toMatch(/^1 messages from 7 to 7/);
  expect(continuity.listsDeleted(stateOf(1, 20, 3))).toBe(false);
  expect(continuity.look(stateOf(1, 20, 3), 21)).toMatch(/^1 messages from 15 to 15/);
});

test('a stream that was made again, or ends before what was read, is read from its beginning', () => {
  for (const info of [infoOf('again', 1, 500), infoOf('once', 1, 5)]) {
    const { continuity, position } = reading(100);
    const { isOther, missed } = continuity.locate(info);
    expect(isOther).toBe(true);
    expect(missed).toMatch(/made anew|lost its last messages/);
    expect(position.next).toBe(1);
  }
});

test('a consumer that somebody made again is told when it begins behind what was not read', () => {
  const { continuity } = reading(5);
  expect(continuity.meet('first', 1)).toBeUndefined();
  expect(continuity.meet('second', 5)).toBeUndefined();
  expect(continuity.meet('third', 9)).toMatch(/^4 messages from 5 to 8/);
});
