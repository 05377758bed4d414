/** From the worker's change to JSON and back: the copy equals the original. */
import { expect, test } from 'vitest';
import { TypeCatalog } from '../../../src/postgres/types.ts';
import { Occurrence } from '../../../src/delivery/occurrence.ts';
import type { WatchError } from '../../../src/errors.ts';
import { Arrivals } from '../../../src/nats/arrivals.ts';
import { type EventMessage, keysOf, readMessage, writeMessage } from '../../../src/nats/message.ts';
import type { WatcherEntry } from '../../../src/types/watchers.ts';
import { changeOf, transactionAt } from '../../support/sample-changes.ts';
import { planFor, usersTable, watchersFor } from '../../support/sample-tables.ts';

const entry: WatcherEntry = ['users', 'updated', { extraColumns: ['email', 'role_id', 'bio'] }];

function occurrenceOf(
  row: object,
  old: object | undefined,
  one = entry,
  table = usersTable({ replicaIdentity: 'full' }),
) {
  const plan = planFor(table, one);
  const rows = { row, ...(old && { old }) } as Parameters<typeof changeOf>[2];
  const change = changeOf(plan, 'updated', rows, { transaction: transactionAt(0x100n) });
  return new Occurrence(plan.watchers.updated[0]!, change);
}

const read = (payload: string, subject = 'walwatch.slot.users:updated.1') => readMessage(subject, Buffer.from(payload));

function received(occurrence: Occurrence, one = entry, warnings: WatchError[] = []): Occurrence {
  const arrivals = new Arrivals(
    watchersFor(one),
    new TypeCatalog(undefined),
    () => {},
    (found) => warnings.push(...found),
  );
  const { watcher } = occurrence.planned.bound;
  const told = read(writeMessage(occurrence).payload, `walwatch.slot.${watcher.name}.1`) as EventMessage;
  const change = arrivals.change(told, 0)!;
  return new Occurrence(change.plan.watchers.updated[0]!, change);
}

const told = (occurrence: Occurrence) => {
  const { event, previous, absent, records } = occurrence;
  const { eventId, watcher, type, schema, table, ordinal, commitLsn, xid, committedAt } = occurrence.context(1);
  return {
    event,
    previous,
    absent,
    records,
    eventId,
    watcher,
    type,
    schema,
    table,
    ordinal,
    commitLsn,
    xid,
    committedAt,
  };
};

test.each<[string, object, object | undefined]>([
  ['all values', { id: '1', email: 'a', role_id: '7', bio: 'x' }, { id: '1', email: 'b', role_id: '6', bio: 'y' }],
  ['nulls', { id: '1', email: '', role_id: null, bio: null }, { id: '1', email: 'null', role_id: null, bio: '' }],
  ['a changed key', { id: '1', email: 'a', role_id: '7', bio: 'x' }, { id: '2', email: 'a', role_id: '7', bio: 'x' }],
  ['characters that JSON escapes', { id: '1', email: '"\\\n\u2028😀', role_id: '7', bio: '\u0001' }, undefined],
  ['values that were not sent', { id: '1', email: 'a', role_id: '7' }, undefined],
])('a message carries %s', (_, row, old) => {
  const table = old ? usersTable({ replicaIdentity: 'full' }) : usersTable();
  const occurrence = occurrenceOf(row, old, entry, table);
  expect(told(received(occurrence))).toEqual(told(occurrence));
});

test('a record has two keys when its primary key changed', () => {
  expect(keysOf(occurrenceOf({ id: '1' }, { id: '2' }, ['users', 'updated']))).toEqual({ key: '1', before: '2' });
  expect(keysOf(occurrenceOf({ id: '1' }, { id: '1' }, ['users', 'updated']))).toEqual({ key: '1', before: undefined });
});

test('a copy is marked', () => {
  const { payload, copy } = writeMessage(occurrenceOf({ id: '1' }, undefined, ['users', 'updated'], usersTable()));
  expect(read(payload)).not.toHaveProperty('copy');
  expect(read(copy())).toEqual({ ...(read(payload) as EventMessage), copy: true });
});

test('a column that the worker does not send is absent, never null, and causes a warning', () => {
  const warnings: WatchError[] = [];
  const { event, absent } = received(
    occurrenceOf({ id: '1' }, undefined, ['users', 'updated'], usersTable()),
    entry,
    warnings,
  );
  expect(absent).toEqual(['email', 'role_id', 'bio']);
  expect(() => event['role_id']).toThrow(expect.objectContaining({ code: 'VALUE_ABSENT' }));
  expect(warnings.map(({ message }) => message)).toContain(
    "users:updated: the worker does not send 'role_id'; reading it throws VALUE_ABSENT",
  );
});

test('a watcher with another table in the worker is an error', () => {
  const occurrence = occurrenceOf({ id: '1' }, undefined, ['users', 'updated', { label: 'touched' }], usersTable());
  expect(() => received(occurrence, ['roles', 'updated', { label: 'touched' }])).toThrow(/touched.*public\.users/);
});

test.each(['', 'hello', '[]', 'null', '1', '{"watcher":"users:updated"}'])(
  '%j is not a walwatch message',
  (payload) => {
    expect(read(payload)).toMatch(/^it/);
  },
);

const good = JSON.parse(
  writeMessage(occurrenceOf({ id: '1' }, undefined, ['users', 'updated'], usersTable())).payload,
) as EventMessage;

test.each<[string, object]>([
  ['its version is 0', { version: 0 }],
  ["its version is 'x'".replaceAll("'", '"'), { version: 'x' }],
  ['its watcher is undefined', { watcher: undefined }],
  ['its watcher is "users:deleted"', { watcher: 'users:deleted' }],
  ['its type is "renamed"', { type: 'renamed' }],
  ["its primaryKey is 'id'".replaceAll("'", '"'), { primaryKey: 'id' }],
  ['its types is null', { types: null }],
  ['its types is { id: -1 }', { types: { id: -1 } }],
  ['its eventId is "1"', { eventId: '1' }],
  ['its commitLsn is "x/y"', { commitLsn: 'x/y' }],
  ['its ordinal is -1', { ordinal: -1 }],
  ['its xid is null', { xid: null }],
  ['its committedAt is "yesterday"', { committedAt: 'yesterday' }],
  ['its event is undefined', { event: undefined }],
  ['its event is { id: 1 }', { event: { id: 1 } }],
  ['its previous is []', { previous: [] }],
  ['its annotations is []', { annotations: [] }],
  ['its copy is false', { copy: false }],
])('a message is refused because %s', (reason, wrong) => {
  expect(read(JSON.stringify({ ...good, ...wrong }))).toBe(reason);
});

test('annotations that are nested too deep to be written as JSON again are refused', () => {
  const nested = (levels: number) => `{"a":${'['.repeat(levels)}${']'.repeat(levels)}}`;
  const message = (levels: number) =>
    JSON.stringify({ ...good, annotations: 0 }).replace('"annotations":0', `"annotations":${nested(levels)}`);
  expect(read(message(63))).toHaveProperty('annotations');
  expect(read(message(30_000))).toMatch(/^its annotations is /);
});

test('a message under the subject of another watcher, or with invalid UTF-8, is refused', () => {
  expect(read(JSON.stringify(good), 'walwatch.slot.roles:updated.1')).toBe('its watcher is "users:updated"');
  expect(readMessage('walwatch.slot.users:updated.1', Buffer.from([0x7b, 0xff, 0x7d]))).toBe('it is not UTF-8');
});

test('only the version of a newer message is read', () => {
  expect(read(JSON.stringify({ version: 2, what: 'ever' }))).toEqual({ version: 2 });
});
