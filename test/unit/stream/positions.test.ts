import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Positions } from '../../../src/stream/positions.ts';

test('a new connection reports 0 until its first positions, which moves nothing', () => {
  const positions = new Positions();
  expect(positions.update(false)).toEqual({ write: 0n, flush: 0n, replyRequested: false });
  expect(positions.advance(undefined)).toBe(false);
  // Confirmed over an earlier connection: this one has received nothing yet.
  expect(positions.advance(100n)).toBe(false);
  expect(positions.update(true)).toEqual({ write: 0n, flush: 0n, replyRequested: true });
});

test('a position is never acknowledged beyond what this connection received', () => {
  const positions = new Positions();
  positions.reached(50n);
  expect(positions.advance(100n)).toBe(true);
  expect(positions.update(false).flush).toBe(50n);
  // Reported inside a transaction: not everything before it was received.
  positions.named(90n);
  expect(positions.advance(100n)).toBe(false);
  expect(positions.update(false)).toMatchObject({ write: 90n, flush: 50n });
  positions.reached(120n);
  expect(positions.advance(100n)).toBe(true);
  expect(positions.update(false).flush).toBe(100n);
});

test('a position before the reached one changes nothing', () => {
  const positions = new Positions();
  for (const lsn of [50n, 40n]) positions.reached(lsn);
  positions.advance(100n);
  expect(positions.update(false)).toMatchObject({ write: 50n, flush: 50n });
});

test('there is something to send only when the position moved', () => {
  const positions = new Positions();
  positions.reached(50n);
  expect(positions.advance(40n)).toBe(true);
  expect(positions.advance(40n)).toBe(false);
  expect(positions.advance(30n)).toBe(false);
  expect(positions.update(false).flush).toBe(40n);
});

test('a keepalive is answered with flush 0 while events are unhandled, and with write at the position of the server', () => {
  const positions = new Positions();
  positions.reached(50n);
  positions.advance(40n);
  positions.named(60n);
  expect(positions.reply(false)).toEqual({ write: 60n, flush: 0n, replyRequested: false });
  expect(positions.reply(true)).toEqual({ write: 60n, flush: 40n, replyRequested: false });
});

test('write and flush never move back, and flush never exceeds the reached and confirmed positions', () => {
  const position = fc.bigInt(0n, 1000n);
  const step = fc.oneof(
    fc.record({ kind: fc.constant('named' as const), at: position }),
    fc.record({ kind: fc.constant('reached' as const), at: position }),
    fc.record({ kind: fc.constant('advance' as const), at: fc.option(position, { nil: undefined }) }),
  );
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const positions = new Positions();
      let [reached, confirmed] = [0n, 0n];
      for (const { kind, at } of steps) {
        const { write, flush } = positions.update(false);
        if (kind === 'advance') positions.advance(at);
        else positions[kind](at);
        if (kind === 'reached' && at > reached) reached = at;
        if (kind === 'advance' && at !== undefined && at > confirmed) confirmed = at;
        expect(positions.write).toBeGreaterThanOrEqual(write);
        expect(positions.update(false).flush).toBeGreaterThanOrEqual(flush);
        expect(positions.update(false).flush).toBeLessThanOrEqual(reached < confirmed ? reached : confirmed);
        expect(positions.update(false).flush).toBeLessThanOrEqual(positions.write);
      }
    }),
  );
});

test('a connection acknowledges nothing before the position of its slot', () => {
  const positions = new Positions();
  positions.connect('0/64');
  positions.reached(0x50n); // a walsender reads again from where its oldest open transaction began
  expect(positions.advance(0x100n)).toBe(false);
  positions.reached(0x70n);
  expect([positions.advance(0x100n), positions.update(false).flush]).toEqual([true, 0x70n]);
});

test('a new connection forgets what the last one received, the watch does not', () => {
  const positions = new Positions();
  positions.reached(0x50n);
  positions.advance(0x50n);
  expect(positions.sent(positions.update(false))).toBe('0/50');
  expect(positions.sent(positions.update(false))).toBeUndefined();
  positions.connect('0/50');
  expect(positions.update(false)).toMatchObject({ write: 0n, flush: 0n });
  expect([positions.received, positions.acknowledged, positions.confirmed]).toEqual(['0/50', '0/50', '0/50']);
  positions.forget();
  expect([positions.received, positions.acknowledged, positions.confirmed]).toEqual([undefined, undefined, '0/50']);
});
