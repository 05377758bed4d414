import { expect, test } from 'vitest';
import { Decoder } from '../../../../src/postgres/pgoutput/decoder.ts';
import type { Relation, RowChange } from '../../../../src/postgres/pgoutput/messages.ts';
import * as encode from '../../../support/pgoutput-messages.ts';

const users: Relation = {
  oid: 4_000_000_000, // OIDs are unsigned
  schema: 'public',
  name: 'users',
  replicaIdentity: 'd',
  columns: [
    { name: 'id', typeOid: 23, key: true },
    { name: 'email', typeOid: 25, key: false },
    { name: 'bio', typeOid: 25, key: false },
  ],
};
const posts: Relation = { ...users, oid: 7, name: 'posts', replicaIdentity: 'f' };

function decoding(wanted: readonly number[] | undefined, ...described: readonly Relation[]) {
  const decoder = new Decoder(() => wanted && { wanted });
  for (const relation of described) decoder.decode(encode.relation(relation));
  return (bytes: Buffer) => decoder.decode(bytes);
}

test('Begin has the position of the commit record, the time in milliseconds since 1970 and the xid', () => {
  const committedAt = Date.UTC(2024, 1, 29, 12, 0, 0, 123);
  expect(decoding([])(encode.begin(0x16_b374_d848n, committedAt, 4_294_967_295))).toEqual({
    tag: 'begin', finalLsn: 0x16_b374_d848n, committedAt, xid: 4_294_967_295,
  }); // prettier-ignore
});

test('Commit has the position of its record and the position right after it', () => {
  expect(decoding([])(encode.commit(0x100n, 0xffff_ffff_ffff_ffffn))).toEqual({
    tag: 'commit', commitLsn: 0x100n, endLsn: 0xffff_ffff_ffff_ffffn,
  }); // prettier-ignore
});

test('Relation describes the table and the columns of its replica identity', () => {
  const decode = decoding([]);
  for (const replicaIdentity of ['d', 'n', 'f', 'i'] as const)
    expect(decode(encode.relation({ ...users, replicaIdentity }))).toEqual({
      tag: 'relation',
      relation: { ...users, replicaIdentity },
    });
});

test('a relation without a schema name belongs to pg_catalog', () => {
  expect(decoding([])(encode.relation({ ...users, schema: '' }))).toMatchObject({ relation: { schema: 'pg_catalog' } });
});

test('the new row of an insert has texts, null, and undefined for unchanged TOAST', () => {
  const decode = decoding([0, 1, 2], users);
  expect(decode(encode.insert(users.oid, ['1', null, undefined]))).toEqual({
    tag: 'insert', relation: users, new: ['1', null, undefined],
  }); // prettier-ignore
  expect(decode(encode.insert(users.oid, ['', 'ä😀', 'x'.repeat(70_000)]))).toMatchObject({
    new: ['', 'ä😀', 'x'.repeat(70_000)],
  });
});

test('an update without an old row has none', () => {
  const decode = decoding([0, 1, 2], users);
  expect(decode(encode.update(users.oid, ['1', 'a@b', 'x']))).toEqual({
    tag: 'update', relation: users, old: undefined, new: ['1', 'a@b', 'x'],
  }); // prettier-ignore
});

test('an old row with marker O is complete: its nulls are null', () => {
  const decode = decoding([0, 1, 2], posts);
  expect(decode(encode.update(posts.oid, ['1', 'b', 'y'], ['O', ['1', null, 'x']]))).toMatchObject({
    old: ['1', null, 'x'],
    new: ['1', 'b', 'y'],
  });
  expect(decode(encode.deletion(posts.oid, ['O', ['1', null, 'x']]))).toEqual({
    tag: 'delete', relation: posts, old: ['1', null, 'x'],
  }); // prettier-ignore
});

test('an old row with marker K has only the key columns: the others are unknown, not null', () => {
  const decode = decoding([0, 1, 2], users);
  expect(decode(encode.update(users.oid, ['2', null, 'x'], ['K', ['1', null, null]]))).toMatchObject({
    old: ['1', undefined, undefined],
    new: ['2', null, 'x'],
  });
  expect(decode(encode.deletion(users.oid, ['K', ['1', null, null]]))).toMatchObject({
    old: ['1', undefined, undefined],
  });
});

test('a null in an old row with marker K is unknown even if the root says that the column belongs to the identity', () => {
  // A partition with another replica identity than its root: key columns are never null.
  const decode = decoding([0, 1, 2], { ...users, replicaIdentity: 'f', columns: users.columns.map((column) => ({ ...column, key: true })) }); // prettier-ignore
  expect(decode(encode.deletion(users.oid, ['K', ['1', null, null]]))).toMatchObject({
    old: ['1', undefined, undefined],
  });
});

test('a null in an old row is unknown if some partition does not send the column; a value is known', () => {
  const decoder = new Decoder(() => ({ wanted: [0, 1, 2], unsure: new Set([1, 2]) }));
  decoder.decode(encode.relation(posts));
  expect(decoder.decode(encode.deletion(posts.oid, ['O', ['1', null, 'x']]))).toMatchObject({
    old: ['1', undefined, 'x'],
  });
  expect(decoder.decode(encode.update(posts.oid, ['1', null, null], ['O', ['1', 'a', null]]))).toMatchObject({
    old: ['1', 'a', undefined],
    new: ['1', null, null],
  });
});

test('the content of a message without a subscription is not copied', () => {
  const decoder = new Decoder(
    () => undefined,
    (prefix) => prefix === 'outbox',
  );
  const decode = (prefix: string) => decoder.decode(encode.logicalMessage(true, 5n, prefix, Buffer.from('x')));
  expect([decode('outbox'), decode('other')]).toEqual([
    { tag: 'message', transactional: true, lsn: 5n, prefix: 'outbox', content: Buffer.from('x') },
    { tag: 'message', transactional: true, lsn: 5n, prefix: 'other', content: undefined },
  ]);
});

test('the decoder asks again which columns are needed after the watchers have changed', () => {
  let wanted = [0];
  const decoder = new Decoder(() => ({ wanted }));
  decoder.decode(encode.relation(users));
  const row = () => decoder.decode(encode.insert(users.oid, ['1', 'a', 'b']));
  expect(row()).toMatchObject({ new: ['1'] });
  wanted = [1, 2];
  expect(row()).toMatchObject({ new: ['1'] });
  decoder.projectAnew();
  expect(row()).toMatchObject({ new: ['a', 'b'] });
});

test('a truncate names all its relations', () => {
  const decode = decoding([], users, posts);
  expect(decode(encode.truncate([posts.oid, users.oid]))).toEqual({ tag: 'truncate', relations: [posts, users] });
});

test('the content of a logical message does not change when the buffer is reused', () => {
  const bytes = encode.logicalMessage(false, 0x200n, 'cache', Buffer.from([0, 1, 2]));
  const message = decoding([])(bytes);
  bytes.fill(9);
  expect(message).toEqual({
    tag: 'message', transactional: false, lsn: 0x200n, prefix: 'cache', content: Buffer.from([0, 1, 2]),
  }); // prettier-ignore
  expect(decoding([])(encode.logicalMessage(true, 1n, '', Buffer.alloc(0)))).toMatchObject({ transactional: true });
});

test('Type names a type, or the base type of a domain', () => {
  const type = { tag: 'type', oid: 16_400, schema: 'public', name: 'mood' };
  expect(decoding([])(encode.type(16_400, 'public', 'mood'))).toEqual(type);
  expect(decoding([])(encode.type(16_400, '', 'int4'))).toEqual({ ...type, schema: 'pg_catalog', name: 'int4' });
});

test('Origin is read and ignored', () => {
  for (const name of ['elsewhere', '']) expect(decoding([])(encode.origin(0x100n, name))).toEqual({ tag: 'ignored' });
});

test('only the needed columns are decoded, in the order of the table', () => {
  const rows = (wanted: readonly number[] | undefined) => {
    const decode = decoding(wanted, posts);
    const { new: row, old } = decode(
      encode.update(posts.oid, ['1', 'b', null], ['O', ['1', 'a', undefined]]),
    ) as Extract<RowChange, { tag: 'update' }>;
    return { row, old };
  };
  expect(rows([1])).toEqual({ row: ['b'], old: ['a'] });
  expect(rows([0, 2])).toEqual({ row: ['1', null], old: ['1', undefined] });
  expect(rows([])).toEqual({ row: [], old: [] });
  expect(rows(undefined)).toEqual({ row: [], old: [] });
});

test('the decoder asks for the projection once, at the first change, so that there is time to plan', () => {
  const asked: Relation[] = [];
  const decoder = new Decoder((relation) => {
    asked.push(relation);
    return { wanted: [0] };
  });
  decoder.decode(encode.relation(users));
  expect(asked).toEqual([]);
  for (const id of ['1', '2']) decoder.decode(encode.insert(users.oid, [id, null, null]));
  expect(asked).toEqual([users]);
});

test('a later description of a relation replaces the earlier one', () => {
  const asked: number[] = [];
  const decoder = new Decoder(({ columns }) => {
    asked.push(columns.length);
    return { wanted: columns.map((_, index) => index) };
  });
  decoder.decode(encode.relation(users));
  decoder.decode(encode.insert(users.oid, ['1', 'a', 'x']));
  const narrower: Relation = { ...users, name: 'people', columns: users.columns.slice(0, 2) };
  decoder.decode(encode.relation(narrower));
  expect(decoder.decode(encode.insert(users.oid, ['2', 'b']))).toEqual({
    tag: 'insert', relation: narrower, new: ['2', 'b'],
  }); // prettier-ignore
  expect(() => decoder.decode(encode.insert(users.oid, ['1', 'a', 'x']))).toThrow(
    '3 columns, but public.people was described with 2',
  );
  expect(asked).toEqual([3, 2]);
});
