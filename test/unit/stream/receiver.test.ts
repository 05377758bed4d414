import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ProtocolError } from '../../../src/errors.ts';
import type { Relation } from '../../../src/postgres/pgoutput/messages.ts';
import * as encode from '../../support/pgoutput-messages.ts';
import { Intake } from '../../../src/stream/intake.ts';
import type { Receiver } from '../../../src/stream/receiver.ts';
import { begin, commit, described, plan, receiving, row } from '../../support/receiving.ts';
import { recorder } from '../../support/recorder.ts';
import { relationOf, usersTable } from '../../support/sample-tables.ts';

test('a transaction passes in order, and is reached before it may be confirmed', () => {
  const { receiver, told } = receiving();
  for (const bytes of [described, begin(256n), row('1'), row('2'), commit(256n)]) receiver.message(bytes);
  expect(told).toEqual(['0/100/0=1', '0/100/1=2', 'reached 264', 'confirmed 264']);
});

test('a keepalive outside of transactions is reached, confirmed, and answered last', () => {
  const { receiver, told } = receiving();
  receiver.keepalive(500n, true);
  expect(told).toEqual(['reached 500', 'confirmed 500', 'keepalive 500 ?']);
});

test('a keepalive inside a transaction is only answered: its position may be the start of the commit record', () => {
  const { receiver, told, ledger } = receiving();
  for (const bytes of [described, begin(256n), row('1')]) receiver.message(bytes);
  receiver.keepalive(300n, true);
  expect(told).toEqual(['0/100/0=1', 'keepalive 300 ?']);
  expect(ledger.confirmed).toBeUndefined();
});

test('types and origins are read and skipped', () => {
  const { receiver, told, failures } = receiving();
  receiver.message(encode.type(1, 'public', 'mood'));
  receiver.message(encode.origin(1n, 'x'));
  expect([told, failures]).toEqual([[], []]);
});

test('a message outside of transactions is reached and confirmed exactly at its end; one inside is part of its transaction', () => {
  const { receiver, told } = receiving();
  receiver.message(encode.logicalMessage(false, 100n, 'cache', Buffer.alloc(0)));
  receiver.message(begin(256n));
  receiver.message(encode.logicalMessage(true, 200n, 'outbox', Buffer.alloc(0)));
  receiver.message(commit(256n));
  expect(told).toEqual([
    'reached 100', '0/64/n0=cache', 'confirmed 100', '0/100/m0=outbox', 'reached 264', 'confirmed 264',
  ]); // prettier-ignore
});

test('a plan is made at the first change after each description, not before and not again', () => {
  const planned: Relation[] = [];
  const { receiver } = receiving({ plan: (relation) => (planned.push(relation), plan) });
  receiver.message(described);
  expect(planned).toEqual([]);
  for (const bytes of [begin(256n), row('1'), row('2'), described, row('3')]) receiver.message(bytes);
  expect(planned).toEqual([plan.relation, plan.relation]);
});

test('columns that no watcher needs are not decoded', () => {
  const { receiver, told } = receiving({ plan: () => undefined });
  for (const bytes of [described, begin(256n), row('1'), commit(256n)]) receiver.message(bytes);
  expect(told).toEqual(['reached 264', 'confirmed 264']);
});

test('an exception inside the socket callback ends the connection instead, once, and nothing is read afterwards', () => {
  const { receiver, told, failures } = receiving();
  expect(() => receiver.message(Buffer.from('?'))).not.toThrow();
  receiver.message(begin(256n));
  receiver.message(Buffer.from('?'));
  receiver.keepalive(500n, true);
  expect(failures).toEqual([expect.any(ProtocolError)]);
  expect(told).toEqual([]);
});

test('a plan that cannot be made, and a keepalive that cannot be answered, end the connection too', () => {
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

test('a table of another shape is decoded by its own description', () => {
  const narrow = relationOf(usersTable({ columns: usersTable().columns.slice(0, 2) }));
  const { receiver, told, failures } = receiving();
  for (const bytes of [
    described,
    begin(256n),
    row('1'),
    encode.relation(narrow),
    encode.insert(narrow.oid, ['2', 'c@d']),
  ])
    receiver.message(bytes);
  expect([told, failures]).toEqual([['0/100/0=1', '0/100/1=2'], []]);
});

test('types are reported as they are described, and messages by their prefix before they are delivered', () => {
  const heard = recorder();
  const { receiver, told } = receiving({
    type: heard,
    message: (prefix) => told.push(`message ${prefix}`),
  });
  receiver.message(encode.type(16_500, 'public', 'mood'));
  receiver.message(encode.logicalMessage(false, 100n, 'cache', Buffer.alloc(0)));
  expect(heard.all).toEqual([{ tag: 'type', oid: 16_500, schema: 'public', name: 'mood' }]);
  expect(told).toEqual(['reached 100', 'message cache', '0/64/n0=cache', 'confirmed 100']);
});

describe('a message that arrives in pieces', () => {
  const bring = (receiver: Receiver, bytes: Buffer) => {
    const large = receiver.large(bytes[0]!, bytes.length)!;
    for (let at = 0; at < bytes.length; at += 7) large.write(bytes, at, Math.min(at + 7, bytes.length));
  };

  test('is handled like any other, and its position counts although it has no subscription', () => {
    const { receiver, told } = receiving();
    receiver.message(described);
    receiver.message(begin(256n));
    bring(receiver, row('1'));
    bring(receiver, encode.logicalMessage(true, 200n, 'unwanted', Buffer.from('x')));
    receiver.message(row('2'));
    receiver.message(commit(256n));
    bring(receiver, encode.logicalMessage(false, 300n, 'unwanted', Buffer.from('x')));
    expect(told).toEqual([
      '0/100/0=1', '0/100/1=2', 'reached 264', 'confirmed 264', 'reached 300', 'confirmed 300',
    ]); // prettier-ignore
  });

  test('and is invalid ends the connection, once', () => {
    const { receiver, failures } = receiving();
    receiver.message(described);
    bring(receiver, Buffer.concat([row('1'), Buffer.from('more')]));
    expect(receiver.large(0x49, 10)).toBeUndefined();
    expect(failures).toEqual([expect.any(ProtocolError)]);
  });
});

test('all rows are delivered by the same function: none is made for each row', () => {
  const change = vi.spyOn(Intake.prototype, 'change');
  onTestFinished(() => change.mockRestore());
  const { receiver } = receiving();
  for (const bytes of [described, begin(256n), row('1'), row('2')]) receiver.message(bytes);
  expect(new Set(change.mock.calls.map(([, planOf]) => planOf)).size).toBe(1);
});
