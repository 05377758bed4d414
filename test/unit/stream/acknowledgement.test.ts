import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Acknowledgement } from '../../../src/stream/acknowledgement.ts';

test('a new connection says 0 until its first acknowledgement, which moves nothing', () => {
  const acknowledgement = new Acknowledgement();
  expect(acknowledgement.update(false)).toEqual({ write: 0n, flush: 0n, replyRequested: false });
  expect(acknowledgement.advance(undefined)).toBe(false);
  // Confirmed over an earlier connection: this one received nothing yet.
  expect(acknowledgement.advance(100n)).toBe(false);
  expect(acknowledgement.update(true)).toEqual({ write: 0n, flush: 0n, replyRequested: true });
});

test('a position is never acknowledged beyond what this connection received', () => {
  const acknowledgement = new Acknowledgement();
  acknowledgement.reached(50n);
  expect(acknowledgement.advance(100n)).toBe(true);
  expect(acknowledgement.flush).toBe(50n);
  // Named inside a transaction: what comes before it was not all received.
  acknowledgement.named(90n);
  expect(acknowledgement.advance(100n)).toBe(false);
  expect(acknowledgement).toMatchObject({ write: 90n, flush: 50n });
  acknowledgement.reached(120n);
  expect(acknowledgement.advance(100n)).toBe(true);
  expect(acknowledgement.flush).toBe(100n);
});

test('a position behind one that was reached takes nothing back', () => {
  const acknowledgement = new Acknowledgement();
  for (const lsn of [50n, 40n]) acknowledgement.reached(lsn);
  acknowledgement.advance(100n);
  expect(acknowledgement).toMatchObject({ write: 50n, flush: 50n });
});

test('there is something to send only when the position moved', () => {
  const acknowledgement = new Acknowledgement();
  acknowledgement.reached(50n);
  expect(acknowledgement.advance(40n)).toBe(true);
  expect(acknowledgement.advance(40n)).toBe(false);
  expect(acknowledgement.advance(30n)).toBe(false);
  expect(acknowledgement.flush).toBe(40n);
});

test('a keepalive is answered with flush 0 while anything is unhandled, and write as far as the server has come', () => {
  const acknowledgement = new Acknowledgement();
  acknowledgement.reached(50n);
  acknowledgement.advance(40n);
  acknowledgement.named(60n);
  expect(acknowledgement.reply(false)).toEqual({ write: 60n, flush: 0n, replyRequested: false });
  expect(acknowledgement.reply(true)).toEqual({ write: 60n, flush: 40n, replyRequested: false });
});

test('whatever happens, write and flush never move back, and flush is at most what was reached and confirmed', () => {
  const position = fc.bigInt(0n, 1000n);
  const step = fc.oneof(
    fc.record({ kind: fc.constant('named' as const), at: position }),
    fc.record({ kind: fc.constant('reached' as const), at: position }),
    fc.record({ kind: fc.constant('advance' as const), at: fc.option(position, { nil: undefined }) }),
  );
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const acknowledgement = new Acknowledgement();
      let [reached, confirmed] = [0n, 0n];
      for (const { kind, at } of steps) {
        const { write, flush } = acknowledgement;
        if (kind === 'advance') acknowledgement.advance(at);
        else acknowledgement[kind](at);
        if (kind === 'reached' && at > reached) reached = at;
        if (kind === 'advance' && at !== undefined && at > confirmed) confirmed = at;
        expect(acknowledgement.write).toBeGreaterThanOrEqual(write);
        expect(acknowledgement.flush).toBeGreaterThanOrEqual(flush);
        expect(acknowledgement.flush).toBeLessThanOrEqual(reached < confirmed ? reached : confirmed);
        expect(acknowledgement.flush).toBeLessThanOrEqual(acknowledgement.write);
      }
    }),
  );
});
