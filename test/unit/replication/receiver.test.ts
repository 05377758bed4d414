import { expect, test, vi } from 'vitest';
import { Budget } from '../../../src/delivery/budget.ts';
import { Ledger } from '../../../src/delivery/ledger.ts';
import { ProtocolError } from '../../../src/errors.ts';
import type { Relation } from '../../../src/pgoutput/messages.ts';
import { Intake } from '../../../src/replication/intake.ts';
import { Receiver, type ReceiverHost } from '../../../src/replication/receiver.ts';
import * as encode from '../../support/pgoutput-messages.ts';
import { planFor, relationOf, usersTable } from '../../support/sample-tables.ts';
import { deferred } from '../../support/until.ts';

const plan = planFor(usersTable(), ['users', 'inserted']);
const described = encode.relation(plan.relation);
const { oid } = plan.relation;
const row = (id: string) => encode.insert(oid, [id, 'a@b', null, null]);
const begin = (lsn: bigint) => encode.begin(lsn, Date.UTC(2024, 0, 1), 7);
const commit = (lsn: bigint) => encode.commit(lsn, lsn + 8n);
const settle = () => new Promise((resolve) => process.nextTick(resolve));

function receiving(more: Partial<ReceiverHost> = {}) {
  const told: string[] = [];
  const ledger = new Ledger(new Budget(1_000_000, vi.fn(), vi.fn()), () => told.push(`confirmed ${ledger.confirmed}`));
  const intake = new Intake(ledger, (change) => told.push(`${change.eventId}=${change.row[0]}`));
  const failures: unknown[] = [];
  const receiver = new Receiver(intake, {
    plan: () => plan,
    described: () => undefined,
    reached: (lsn) => told.push(`reached ${lsn}`),
    keepalive: (walEnd, replyRequested) => told.push(`keepalive ${walEnd}${replyRequested ? ' ?' : ''}`),
    wait: (waiting) => told.push(waiting ? 'wait' : 'go on'),
    failed: (error) => failures.push(error),
    ...more,
  });
  return { receiver, told, failures, ledger };
}

/** A catalog that answers when it is told to, once for each question. */
function slowCatalog(questions: number) {
  const answers = Array.from({ length: questions }, () => deferred());
  let asked = 0;
  return { answers, described: () => answers[asked++]?.promise };
}

test('a transaction goes through in order, and is reached before it may be confirmed', () => {
  const { receiver, told } = receiving();
  for (const bytes of [described, begin(256n), row('1'), row('2'), commit(256n)]) receiver.message(bytes);
  expect(told).toEqual(['0/100/0=1', '0/100/1=2', 'reached 264', 'confirmed 264']);
});

test('a keepalive outside of transactions moves the position; it is reached before it is confirmed and answered last', () => {
  const { receiver, told } = receiving();
  receiver.keepalive(500n, true);
  expect(told).toEqual(['reached 500', 'confirmed 500', 'keepalive 500 ?']);
});

test('a keepalive inside a transaction is only told: its position may be the start of the commit record', () => {
  const { receiver, told, ledger } = receiving();
  for (const bytes of [described, begin(256n), row('1')]) receiver.message(bytes);
  receiver.keepalive(300n, true);
  expect(told).toEqual(['0/100/0=1', 'keepalive 300 ?']);
  expect(ledger.confirmed).toBeUndefined();
});

test('logical messages, types and origins are read and passed over', () => {
  const { receiver, told, failures } = receiving();
  receiver.message(encode.logicalMessage(false, 1n, 'x', Buffer.from('y')));
  receiver.message(encode.type(1, 'public', 'mood'));
  receiver.message(encode.origin(1n, 'x'));
  expect([told, failures]).toEqual([[], []]);
});

test('while the catalog is asked nothing overtakes: what comes in waits, keepalives too, and reading pauses', async () => {
  const { answers, described: ask } = slowCatalog(1);
  const { receiver, told } = receiving({ described: ask });
  receiver.message(described);
  for (const bytes of [begin(256n), row('1'), commit(256n)]) receiver.message(bytes);
  receiver.keepalive(500n, false);
  await settle();
  expect(told).toEqual(['wait']);
  answers[0]!.resolve();
  await settle();
  const all = ['wait', '0/100/0=1', 'reached 264', 'confirmed 264', 'reached 500', 'confirmed 500', 'keepalive 500'];
  expect(told).toEqual([...all, 'go on']);
  receiver.keepalive(600n, false);
  expect(told.at(-1)).toBe('keepalive 600');
});

test('what waits is a copy, because the buffer is used again', async () => {
  const { answers, described: ask } = slowCatalog(1);
  const { receiver, told, failures } = receiving({ described: ask });
  receiver.message(described);
  for (const bytes of [begin(256n), row('1')]) {
    receiver.message(bytes);
    bytes.fill(0xff);
  }
  answers[0]!.resolve();
  await settle();
  expect(failures).toEqual([]);
  expect(told).toContain('0/100/0=1');
});

test('a second question while catching up keeps the order as well, and reading goes on after the last answer only', async () => {
  const { answers, described: ask } = slowCatalog(2);
  const { receiver, told } = receiving({ described: ask });
  receiver.message(described);
  for (const bytes of [begin(256n), row('1'), described, row('2')]) receiver.message(bytes);
  answers[0]!.resolve();
  await settle();
  expect(told).toEqual(['wait', '0/100/0=1', 'wait']);
  receiver.message(row('3')); // was on its way when reading paused
  answers[1]!.resolve();
  await settle();
  expect(told).toEqual(['wait', '0/100/0=1', 'wait', '0/100/1=2', '0/100/2=3', 'go on']);
});

test('a plan is made at the first change after each description, not before and not again', () => {
  const planned: Relation[] = [];
  const { receiver } = receiving({ plan: (relation) => (planned.push(relation), plan) });
  receiver.message(described);
  expect(planned).toEqual([]);
  for (const bytes of [begin(256n), row('1'), row('2'), described, row('3')]) receiver.message(bytes);
  expect(planned).toEqual([plan.relation, plan.relation]);
});

test('columns that nobody wants are not decoded', () => {
  const { receiver, told } = receiving({ plan: () => undefined });
  for (const bytes of [described, begin(256n), row('1'), commit(256n)]) receiver.message(bytes);
  expect(told).toEqual(['reached 264', 'confirmed 264']);
});

test('whatever throws inside the socket callback ends the connection instead, once, and nothing is taken any more', () => {
  const { receiver, told, failures } = receiving();
  expect(() => receiver.message(Buffer.from('?'))).not.toThrow();
  receiver.message(begin(256n));
  receiver.message(Buffer.from('?'));
  receiver.keepalive(500n, true);
  expect(failures).toEqual([expect.any(ProtocolError)]);
  expect(told).toEqual([]);
});

test('a plan that can not be made, and a keepalive that can not be told, end the connection too', () => {
  const broken = new Error('broken');
  const throws = () => {
    throw broken;
  };
  const one = receiving({ plan: throws });
  for (const bytes of [described, begin(256n), row('1')]) one.receiver.message(bytes);
  const other = receiving({ keepalive: throws });
  other.receiver.keepalive(1n, true);
  expect([...one.failures, ...other.failures]).toEqual([broken, broken]);
});

test('a catalog that does not answer, and bytes that make no sense among what waited, end the connection', async () => {
  const { answers, described: ask } = slowCatalog(2);
  const one = receiving({ described: ask });
  one.receiver.message(described);
  answers[0]!.reject(new Error('lost'));
  const other = receiving({ described: ask });
  other.receiver.message(described);
  other.receiver.message(Buffer.from('?'));
  answers[1]!.resolve();
  await settle();
  expect(one.failures).toEqual([new Error('lost')]);
  expect(other.failures).toEqual([expect.any(ProtocolError)]);
  one.receiver.keepalive(1n, true);
  expect(one.told).toEqual(['wait']);
});

test.each(['resolves', 'rejects'])('closed while the catalog is asked: nothing follows when it %s', async (outcome) => {
  const { answers, described: ask } = slowCatalog(1);
  const { receiver, told, failures } = receiving({ described: ask });
  receiver.message(described);
  receiver.message(begin(256n));
  receiver.close();
  if (outcome === 'resolves') answers[0]!.resolve();
  else answers[0]!.reject(new Error('lost'));
  await settle();
  receiver.message(row('1'));
  receiver.keepalive(500n, true);
  expect([told, failures]).toEqual([['wait'], []]);
});

test('a table of another shape is decoded as its own description says', () => {
  const narrow = relationOf(usersTable({ columns: usersTable().columns.slice(0, 2) }));
  const { receiver, told, failures } = receiving();
  for (const bytes of [described, begin(256n), row('1'), encode.relation(narrow), encode.insert(oid, ['2', 'c@d'])])
    receiver.message(bytes);
  expect([told, failures]).toEqual([['0/100/0=1', '0/100/1=2'], []]);
});
