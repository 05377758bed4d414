import type { Relation, TupleValue } from '../../src/postgres/pgoutput/messages.ts';

/**
 * Messages of pgoutput, protocol version 1, as a walsender writes them.
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */

/** Unchanged TOAST is undefined. */
type Row = readonly TupleValue[];

/** 2000-01-01, from which PostgreSQL counts microseconds. */
const epoch = Date.UTC(2000, 0, 1);

export function begin(finalLsn: bigint, committedAt: number, xid: number): Buffer {
  return Buffer.concat([tag('B'), uint64(finalLsn), timestamp(committedAt), uint32(xid)]);
}

export function commit(commitLsn: bigint, endLsn: bigint, committedAt = epoch): Buffer {
  return Buffer.concat([tag('C'), byte(0), uint64(commitLsn), uint64(endLsn), timestamp(committedAt)]);
}

export function relation({ oid, schema, name, replicaIdentity, columns }: Relation): Buffer {
  const described = columns.map(({ key, name: column, typeOid }) =>
    Buffer.concat([byte(key ? 1 : 0), string(column), uint32(typeOid), uint32(0xffff_ffff)]),
  );
  const table = Buffer.concat([uint32(oid), string(schema), string(name), tag(replicaIdentity)]);
  return Buffer.concat([tag('R'), table, uint16(columns.length), ...described]);
}

export function insert(oid: number, row: Row): Buffer {
  return Buffer.concat([tag('I'), uint32(oid), tag('N'), tuple(row)]);
}

/** `old`: its form, 'K' for key columns only or 'O' for the whole row, and its values. */
export function update(oid: number, row: Row, old?: readonly [form: 'K' | 'O', values: Row]): Buffer {
  const before = old ? [tag(old[0]), tuple(old[1])] : [];
  return Buffer.concat([tag('U'), uint32(oid), ...before, tag('N'), tuple(row)]);
}

export function deletion(oid: number, [form, values]: readonly [form: 'K' | 'O', values: Row]): Buffer {
  return Buffer.concat([tag('D'), uint32(oid), tag(form), tuple(values)]);
}

export function truncate(oids: readonly number[]): Buffer {
  return Buffer.concat([tag('T'), uint32(oids.length), byte(0), ...oids.map(uint32)]);
}

export function logicalMessage(transactional: boolean, lsn: bigint, prefix: string, content: Buffer): Buffer {
  const head = Buffer.concat([tag('M'), byte(transactional ? 1 : 0), uint64(lsn), string(prefix)]);
  return Buffer.concat([head, uint32(content.length), content]);
}

export function type(oid: number, schema: string, name: string): Buffer {
  return Buffer.concat([tag('Y'), uint32(oid), string(schema), string(name)]);
}

export function origin(commitLsn: bigint, name: string): Buffer {
  return Buffer.concat([tag('O'), uint64(commitLsn), string(name)]);
}

function tuple(values: Row): Buffer {
  return Buffer.concat([uint16(values.length), ...values.map(value)]);
}

function value(text: TupleValue): Buffer {
  if (text === undefined) return tag('u');
  if (text === null) return tag('n');
  return Buffer.concat([tag('t'), uint32(Buffer.byteLength(text)), Buffer.from(text)]);
}

const tag = (letter: string): Buffer => Buffer.from(letter, 'latin1');
const byte = (number: number): Buffer => Buffer.from([number]);
const string = (text: string): Buffer => Buffer.from(`${text}\0`);

function uint16(number: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(number);
  return bytes;
}

function uint32(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
}

function uint64(number: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(number);
  return bytes;
}

function timestamp(milliseconds: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(milliseconds - epoch) * 1000n);
  return bytes;
}
