/** The bytes a captured change counts for: those that are kept in memory, not those that were received. */
import { expect, test } from 'vitest';
import type { CapturedMessage } from '../../../src/changes/message.ts';
import * as encode from '../../support/pgoutput-messages.ts';
import { begin, receiving } from '../../support/receiving.ts';
import { column, oids, planFor, relationOf, usersTable } from '../../support/sample-tables.ts';
import { deferred } from '../../support/until.ts';

const jsonb = 3802;
const table = usersTable({
  replicaIdentity: 'full',
  columns: [
    column('id', oids.int4, { notNull: true }), column('email'), column('bio'), column('data', jsonb), column('photo', 17),
  ],
}); // prettier-ignore
const described = encode.relation(relationOf(table));
const long = 'x'.repeat(500_000);

type Values = readonly (string | null | undefined)[];

/** Receives changes of the table with these columns watched. Returns the bytes they count for. */
function bytesOf(extraColumns: readonly string[], ...messages: readonly Buffer[]): readonly number[] {
  const plan = planFor(
    table,
    ['users', 'inserted', { extraColumns }],
    ['users', 'updated', { extraColumns }],
    ['users', 'deleted', { extraColumns }],
  );
  const { receiver, emitted, failures } = receiving({ plan: () => plan });
  for (const bytes of [described, begin(256n), ...messages]) receiver.message(bytes);
  expect(failures).toEqual([]);
  return emitted.map(({ bytes }) => bytes);
}

const insert = (...row: Values) => encode.insert(table.oid, row);
const [least] = bytesOf([], insert('1', null, null, null, null));

test('a value that is not watched counts for nothing, in a new row or an old one', () => {
  expect(
    bytesOf(
      [],
      insert('1', null, long, null, null),
      encode.update(table.oid, ['1', 'a', long, null, null], ['O', ['1', 'b', long, null, null]]),
      encode.deletion(table.oid, ['O', ['1', null, long, null, null]]),
    ),
  ).toEqual([least, expect.closeTo(least!, -3), least]);
});

test('a watched value counts with its length, once for each row that holds it', () => {
  const [inserted, updated, unchanged, deleted] = bytesOf(
    ['bio'],
    insert('1', null, long, null, null),
    encode.update(table.oid, ['1', 'a', long, null, null], ['O', ['1', 'b', long, null, null]]),
    encode.update(table.oid, ['1', 'a', undefined, null, null], ['O', ['1', 'b', long, null, null]]),
    encode.deletion(table.oid, ['O', ['1', null, long, null, null]]),
  );
  expect(inserted! - least!).toBeCloseTo(long.length, -3);
  expect(updated! - least!).toBeCloseTo(2 * long.length, -3);
  expect(unchanged! - least!).toBeCloseTo(long.length, -3); // unchanged TOAST, which only the old row has
  expect(deleted! - least!).toBeCloseTo(long.length, -3);
});

test('of an old row that is only a key, the key counts', () => {
  const sent = ['1', null, null, null, null];
  const [keyOnly] = bytesOf(['bio'], encode.update(table.oid, ['2', null, null, null, null], ['K', sent]));
  expect(keyOnly! - least!).toBeLessThan(500);
});

test('a text with a character beyond ASCII takes two bytes for each of its characters', () => {
  const [narrow, wide] = bytesOf(
    ['bio'],
    insert('1', null, long, null, null),
    insert('1', null, `${long}€`, null, null),
  );
  expect(wide! - narrow!).toBeCloseTo(long.length, -3);
});

test('many small values count for more than their texts: each is a string, with places in row and event', () => {
  const columns = Array.from({ length: 1000 }, (_, index) => column(`c${index}`, oids.int4));
  const wide = usersTable({ columns: [...table.columns, ...columns] });
  const plan = planFor(wide, ['users', 'inserted', { extraColumns: columns.map(({ name }) => name) }]);
  const { receiver, emitted } = receiving({ plan: () => plan });
  const row = [...Array.from({ length: 5 }, () => '1'), ...columns.map(() => '1')];
  for (const bytes of [encode.relation(relationOf(wide)), begin(256n), encode.insert(wide.oid, row)])
    receiver.message(bytes);
  expect(emitted[0]!.bytes).toBeGreaterThan(50_000);
});

test('the objects that values are parsed into count as well, by their text', () => {
  const text = JSON.stringify({ text: long });
  const [unwatched] = bytesOf([], insert('1', null, null, text, null));
  const [json] = bytesOf(['data'], insert('1', null, null, text, null));
  const [bytes] = bytesOf(['photo'], insert('1', null, null, null, `\\x${'00'.repeat(1000)}`));
  expect(unwatched).toBe(least);
  expect(json! - least!).toBeGreaterThan(3 * text.length);
  expect(bytes! - least!).toBeCloseTo(3000, -3); // 2,000 digits of text, 1,000 bytes
});

test('a message counts the same in pieces, in one, and after a wait for the catalog', async () => {
  const plan = planFor(table, ['users', 'inserted', { extraColumns: ['email', 'data'] }]);
  const message = insert('1', 'ä€', long, '{"a":1}', null);
  const answer = deferred();
  const whole = receiving({ plan: () => plan });
  const pieces = receiving({ plan: () => plan });
  const waited = receiving({ plan: () => plan, described: () => answer.promise });
  for (const { receiver } of [whole, pieces, waited])
    for (const bytes of [described, begin(256n)]) receiver.message(bytes);
  whole.receiver.message(message);
  const sink = pieces.receiver.large(message[0]!, message.length)!;
  for (let at = 0; at < message.length; at += 1000) sink.write(message, at, Math.min(at + 1000, message.length));
  waited.receiver.message(message);
  answer.resolve();
  await new Promise((resolve) => process.nextTick(resolve));
  const bytes = [whole, pieces, waited].map(({ emitted }) => emitted[0]?.bytes);
  expect(new Set(bytes).size).toBe(1);
  expect(bytes[0]).toBeLessThan(2000);
});

test('a logical message counts with its content, which is a copy that keeps no other memory alive', () => {
  const { receiver, emitted } = receiving();
  const message = (prefix: string, length: number) =>
    receiver.message(encode.logicalMessage(false, BigInt(emitted.length + 1), prefix, Buffer.alloc(length)));
  message('outbox', 10);
  message('outbox', 100_000);
  message('unwanted', 100_000);
  const [small, large] = emitted as CapturedMessage[];
  expect(emitted).toHaveLength(2);
  expect(large!.bytes - small!.bytes).toBe(100_000 - 10);
  expect([small, large].map((one) => (one!.event.content as Buffer).buffer.byteLength)).toEqual([10, 100_000]);
});

test('a truncate of many tables counts for little, however many they are', () => {
  const plan = planFor(table, ['users', 'truncated']);
  const { receiver, emitted } = receiving({ plan: () => plan });
  const others = Array.from({ length: 2000 }, () => table.oid);
  for (const bytes of [described, begin(256n), encode.truncate(others)]) receiver.message(bytes);
  expect(Math.max(...emitted.map(({ bytes }) => bytes))).toBeLessThan(1000);
});
