import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ProtocolError } from '../../../../src/errors.ts';
import { Decoder } from '../../../../src/postgres/pgoutput/decoder.ts';
import type { Relation, TupleValue } from '../../../../src/postgres/pgoutput/messages.ts';
import * as encode from '../../../support/pgoutput-messages.ts';

const oid = 16_384;
const value: fc.Arbitrary<TupleValue> = fc.oneof(
  fc.constant(null),
  fc.constant(undefined),
  fc.string({ unit: 'binary' }),
);
const name = fc.string().map((text) => text.replaceAll('\0', ''));
const lsn = fc.bigInt(0n, 2n ** 64n - 1n);

const table: fc.Arbitrary<Relation> = fc.record({
  oid: fc.constant(oid),
  schema: fc.constant('public'),
  name,
  replicaIdentity: fc.constantFrom('d', 'n', 'f', 'i'),
  columns: fc.array(fc.record({ name, typeOid: fc.nat(), key: fc.boolean() }), { maxLength: 4 }),
});

/** A relation and any kind of message about it. */
const exchange = table.chain((relation) => {
  const row = fc.array(value, { minLength: relation.columns.length, maxLength: relation.columns.length });
  const old = fc.tuple(fc.constantFrom('K' as const, 'O' as const), row);
  const message = fc.oneof(
    fc.tuple(lsn, fc.nat({ max: 4_102_444_800_000 }), fc.nat()).map((given) => encode.begin(...given)),
    fc.tuple(lsn, lsn).map((given) => encode.commit(...given)),
    fc.constant(encode.relation(relation)),
    row.map((values) => encode.insert(oid, values)),
    fc.tuple(row, fc.option(old, { nil: undefined })).map(([values, before]) => encode.update(oid, values, before)),
    old.map((before) => encode.deletion(oid, before)),
    fc.nat({ max: 3 }).map((count) => encode.truncate(Array.from({ length: count }, () => oid))),
    fc
      .tuple(fc.boolean(), lsn, name, fc.uint8Array())
      .map(([transactional, at, prefix, content]) =>
        encode.logicalMessage(transactional, at, prefix, Buffer.from(content)),
      ),
    fc.tuple(fc.nat(), name, name).map((given) => encode.type(...given)),
    fc.tuple(lsn, name).map((given) => encode.origin(...given)),
  );
  return fc.tuple(fc.constant(relation), message);
});

function decoderOf(relation: Relation): Decoder {
  const decoder = new Decoder(({ columns }) => ({ wanted: columns.map((_, index) => index) }));
  decoder.decode(encode.relation(relation));
  return decoder;
}

test('a message is decoded completely, and every truncation of it is a ProtocolError', () => {
  fc.assert(
    fc.property(exchange, ([relation, message]) => {
      const decoder = decoderOf(relation);
      expect(() => decoder.decode(message)).not.toThrow();
      for (let length = 0; length < message.length; length++) {
        expect(() => decoder.decode(message.subarray(0, length))).toThrow(ProtocolError);
      }
    }),
  );
});

test('bytes after the end of a message are a ProtocolError', () => {
  fc.assert(
    fc.property(exchange, fc.uint8Array({ minLength: 1, maxLength: 8 }), ([relation, message], more) => {
      expect(() => decoderOf(relation).decode(Buffer.concat([message, more]))).toThrow(ProtocolError);
    }),
  );
});

test('any bytes are a message or a ProtocolError', () => {
  const letters = fc.constantFrom(...Buffer.from('IUDBCRTMYO'));
  fc.assert(
    fc.property(table, letters, fc.uint8Array({ maxLength: 64 }), (relation, letter, bytes) => {
      const decoder = decoderOf(relation);
      try {
        decoder.decode(Buffer.from([letter, ...bytes]));
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
    }),
    { numRuns: 500 },
  );
});

test('a decoded row equals the encoded one', () => {
  fc.assert(
    fc.property(table, fc.infiniteStream(value), (relation, values) => {
      const row = relation.columns.map(() => values.next().value as TupleValue);
      expect(decoderOf(relation).decode(encode.insert(oid, row))).toEqual({ tag: 'insert', relation, new: row });
    }),
  );
});

const columns = [{ name: 'id', typeOid: 23, key: true }];
const users: Relation = { oid, schema: 'public', name: 'users', replicaIdentity: 'd', columns };

test('an unknown message type is an error that names it; it is not skipped', () => {
  expect(() => decoderOf(users).decode(Buffer.from('S1234'))).toThrow('unknown message type 0x53');
});

test('an unknown kind of value is an error that names it', () => {
  const binary = encode.insert(oid, [null]);
  binary.write('b', binary.length - 1, 'latin1');
  expect(() => decoderOf(users).decode(binary)).toThrow('unknown kind of value 0x62');
});

test('a row with more or fewer columns than described is an error', () => {
  for (const row of [[], ['1', '2']])
    expect(() => decoderOf(users).decode(encode.insert(oid, row))).toThrow(
      `${row.length} columns, but public.users was described with 1`,
    );
});

test('a change of a relation that was not described is an error', () => {
  for (const message of [
    encode.insert(9, ['1']),
    encode.update(9, ['1']),
    encode.deletion(9, ['K', ['1']]),
    encode.truncate([9]),
  ])
    expect(() => decoderOf(users).decode(message)).toThrow('relation 9 was not described');
});

test('an unexpected row and an unknown replica identity are errors', () => {
  const decoder = decoderOf(users);
  const renamed = (message: Buffer, at: number, letter: string) => {
    message.write(letter, at, 'latin1');
    return message;
  };
  expect(() => decoder.decode(renamed(encode.insert(oid, ['1']), 5, 'O'))).toThrow("expected 'N' before");
  expect(() => decoder.decode(renamed(encode.update(oid, ['1']), 5, 'X'))).toThrow("expected 'N' before");
  expect(() => decoder.decode(renamed(encode.deletion(oid, ['K', ['1']]), 5, 'N'))).toThrow(
    "expected 'K' or 'O' before",
  );
  expect(() => decoder.decode(encode.relation({ ...users, replicaIdentity: 'x' as 'd' }))).toThrow(
    'unknown replica identity "x"',
  );
});
