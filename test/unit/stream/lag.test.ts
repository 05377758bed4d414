import { expect, test } from 'vitest';
import { LagClock, type LagFacts } from '../../../src/stream/lag.ts';
import { transactionAt } from '../../support/sample-changes.ts';
import { LedgerTransaction } from '../../../src/changes/ledger.ts';

const now = 1_000_000;
const committed = (secondsAgo: number) =>
  new LedgerTransaction({ xid: 1, finalLsn: 1n, committedAt: now - secondsAgo * 1000 });
const facts = (more: Partial<LagFacts> = {}): LagFacts => ({
  now, handled: 100n, oldest: undefined, newest: undefined, downSince: undefined, ...more,
}); // prettier-ignore

test('the lag is 0 when everything is handled, however old the last commit is', () => {
  const clock = new LagClock();
  clock.note(100n, now - 60_000, undefined);
  expect(clock.seconds(facts({ newest: committed(3600) }))).toBe(0);
});

test('it is the age of the oldest unhandled commit', () => {
  expect(new LagClock().seconds(facts({ oldest: committed(7) }))).toBe(7);
});

test('it is the time since the server was ahead of the handled position', () => {
  const clock = new LagClock();
  for (const [lsn, secondsAgo] of [[100n, 30], [110n, 20], [120n, 10]] as const) clock.note(lsn, now - secondsAgo * 1000, undefined); // prettier-ignore
  expect(clock.seconds(facts())).toBe(20);
  expect(clock.seconds(facts({ handled: 115n }))).toBe(10);
  expect(clock.seconds(facts({ handled: 120n }))).toBe(0);
});

test('a backlog is as old as its received part, although each event is handled at once', () => {
  const clock = new LagClock();
  clock.note(1000n, now - 5000, transactionAt(1n));
  expect(clock.seconds(facts({ newest: committed(3600) }))).toBe(3600);
  expect(clock.seconds(facts({ newest: committed(3600), handled: 1000n }))).toBe(0);
});

test('positions received before the server was asked do not tell the size of the backlog', () => {
  const clock = new LagClock();
  const newest = committed(3600);
  clock.note(1000n, now - 5000, newest);
  expect(clock.seconds(facts({ newest }))).toBe(5);
});

test('without a connection it grows from the time of the loss', () => {
  expect(new LagClock().seconds(facts({ downSince: now - 42_000 }))).toBe(42);
});

test('while the server is silent it grows from the last byte, although everything received is handled', () => {
  const clock = new LagClock();
  clock.silentSince = now - 25_000;
  expect(clock.seconds(facts())).toBe(25);
  clock.silentSince = undefined;
  expect(clock.seconds(facts())).toBe(0);
});

test('a server clock that is ahead does not make the lag negative', () => {
  expect(new LagClock().seconds(facts({ oldest: committed(-5) }))).toBe(0);
});

test('days of holding a slot do not fill the memory, and the oldest time stays', () => {
  const clock = new LagClock();
  for (let sample = 0; sample < 100_000; sample++) clock.note(101n + BigInt(sample), sample, undefined);
  expect(clock.seconds(facts({ now: 100_000 }))).toBe(100);
  expect(clock.samples).toBeLessThanOrEqual(512);
});

test('positions of another history are forgotten', () => {
  const clock = new LagClock();
  clock.note(1000n, now - 5000, undefined);
  clock.clear();
  expect(clock.seconds(facts())).toBe(0);
});
