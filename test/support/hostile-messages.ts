/** Random messages of pgoutput, and random damage to them. */
import type { Relation, TupleValue } from '../../src/postgres/pgoutput/messages.ts';
import * as encode from './pgoutput-messages.ts';
import type { Random } from './random.ts';

const oids = [16_384, 16_385, 4_294_967_295];
const letters = ['I', 'U', 'D', 'B', 'C', 'R', 'T', 'M', 'Y', 'O', ''];
const texts = ['', 'a', 'plain', 'ä😀', '\u0001', '2026-01-01', 'x'.repeat(300)];

function someRelation(random: Random, oid: number): Relation {
  return {
    oid,
    schema: random.pick(['', 'public', 'ü']),
    name: random.pick(texts),
    replicaIdentity: random.pick(['d', 'n', 'f', 'i']),
    columns: Array.from({ length: random.int(6) }, () => ({
      name: random.pick(texts),
      typeOid: random.int(2 ** 32),
      key: random.chance(0.5),
    })),
  };
}

/** Two relations and messages about them, all as PostgreSQL would send them. */
export function someMessages(random: Random): Buffer[] {
  const relations = [someRelation(random, oids[0]!), someRelation(random, oids[1]!)];
  const following = Array.from({ length: 1 + random.int(3) }, () => someMessage(random, relations));
  return [...relations.map(encode.relation), ...following];
}

function someMessage(random: Random, relations: readonly Relation[]): Buffer {
  const relation = random.pick(relations);
  const row = () => relation.columns.map((): TupleValue => random.pick([null, undefined, ...texts]));
  const lsn = () => BigInt(random.int(2 ** 32)) << BigInt(random.int(33));
  const old = () => [random.pick(['K', 'O'] as const), row()] as const;
  switch (random.int(10)) {
    case 0:
      return encode.begin(lsn(), random.int(2 ** 42), random.int(2 ** 32));
    case 1:
      return encode.commit(lsn(), lsn());
    case 2:
      return encode.relation(relation);
    case 3:
      return encode.update(relation.oid, row(), random.chance(0.5) ? old() : undefined);
    case 4:
      return encode.deletion(relation.oid, old());
    case 5:
      return encode.truncate(Array.from({ length: random.int(4) }, () => random.pick(relations).oid));
    case 6:
      return encode.logicalMessage(random.chance(0.5), lsn(), random.pick(texts), random.bytes(random.int(20)));
    case 7:
      return encode.type(random.pick(oids), 'public', random.pick(texts));
    case 8:
      return encode.origin(lsn(), random.pick(texts));
    default:
      return encode.insert(relation.oid, row());
  }
}

/** Numbers that are invalid as lengths and counts. */
const wrongNumbers = ['ff', 'ffff', 'ffffffff', '7fffffff', '80000000', '00000000', '0000', '00', '00010000'];

/** The kinds of damage. `other`: another message of the stream. */
const injuries: readonly ((random: Random, message: Buffer, other: Buffer) => Buffer)[] = [
  // Only noise, which may begin like a message.
  (random) => Buffer.concat([Buffer.from(random.pick(letters)), random.bytes(random.int(64))]),
  // Bits flipped.
  (random, message) => {
    const flipped = Buffer.from(message);
    for (let left = 1 + random.int(4); left > 0; left--) {
      const at = random.int(flipped.length);
      flipped[at] = flipped[at]! ^ (1 << random.int(8));
    }
    return flipped;
  },
  // Cut at either end.
  (random, message) => message.subarray(0, random.int(message.length)),
  (random, message) => message.subarray(random.int(message.length)),
  // A part of it repeated.
  (random, message) => {
    const from = random.int(message.length);
    const to = from + random.int(message.length - from + 1);
    const part = message.subarray(from, to);
    const times = 1 + random.int(3);
    return Buffer.concat([message.subarray(0, to), ...Array<Buffer>(times).fill(part), message.subarray(to)]);
  },
  // The head of one and the tail of another.
  (random, message, other) =>
    Buffer.concat([message.subarray(0, random.int(message.length)), other.subarray(random.int(other.length))]),
  // Numbers where a length or a count may be.
  (random, message) => {
    const number = Buffer.from(random.pick(wrongNumbers), 'hex');
    const at = random.int(message.length);
    return Buffer.concat([message.subarray(0, at), number, message.subarray(at + number.length)]);
  },
  // Extra bytes at its end.
  (random, message) => Buffer.concat([message, random.bytes(1 + random.int(8))]),
];

export function injure(random: Random, message: Buffer, other: Buffer): Buffer {
  return random.pick(injuries)(random, message, other);
}
