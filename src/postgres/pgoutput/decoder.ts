import type { Message, Relation, RelationColumn, Tuple, TupleValue } from './messages.ts';
import { Reader } from './reader.ts';

/** Indexes of the columns that are wanted of a relation, ascending; undefined when it is of no interest at all. */
export type Projection = (relation: Relation) => readonly number[] | undefined;

interface KnownRelation {
  readonly relation: Relation;
  /** Asked for at the first change, so that whoever plans has had time to look the relation up. */
  wanted: readonly number[] | undefined;
  projected: boolean;
}

/** PostgreSQL counts microseconds from 2000-01-01. */
const postgresEpoch = 946_684_800_000;
const ignored = { tag: 'ignored' } as const;

/**
 * Decodes pgoutput, protocol version 1: bytes → messages. Holds nothing but the relations of this connection, which
 * PostgreSQL describes before their first change, and again when they changed.
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
export class Decoder {
  readonly #project: Projection;
  readonly #relations = new Map<number, KnownRelation>();
  readonly #reader = new Reader();

  constructor(project: Projection) {
    this.#project = project;
  }

  /** The message from `start` up to `end`. @throws ProtocolError when the bytes make no sense */
  decode(bytes: Buffer, start = 0, end = bytes.length): Message {
    const reader = this.#reader;
    reader.open(bytes, start, end);
    const message = this.#message(reader);
    reader.end();
    return message;
  }

  #message(reader: Reader): Message {
    const type = reader.byte();
    switch (type) {
      case 0x49: // 'I'
        return this.#insert(reader);
      case 0x55: // 'U'
        return this.#update(reader);
      case 0x44: // 'D'
        return this.#delete(reader);
      case 0x42: // 'B'
        return {
          tag: 'begin',
          finalLsn: reader.uint64(),
          committedAt: postgresEpoch + Number(reader.int64() / 1000n),
          xid: reader.uint32(),
        };
      case 0x43: {
        // 'C'
        reader.skip(1);
        const commitLsn = reader.uint64();
        const endLsn = reader.uint64();
        reader.skip(8);
        return { tag: 'commit', commitLsn, endLsn };
      }
      case 0x52: // 'R'
        return this.#relation(reader);
      case 0x54: // 'T'
        return this.#truncate(reader);
      case 0x4d: {
        // 'M'
        const transactional = (reader.byte() & 1) === 1;
        const lsn = reader.uint64();
        const prefix = reader.string();
        return { tag: 'message', transactional, lsn, prefix, content: reader.copy(reader.uint32()) };
      }
      case 0x59: // 'Y'
        return { tag: 'type', oid: reader.uint32(), schema: reader.string() || 'pg_catalog', name: reader.string() };
      case 0x4f: // 'O', the origin of what was itself replicated
        reader.skip(8);
        reader.string();
        return ignored;
      default:
        return reader.fail(`unknown message type 0x${type.toString(16)}`);
    }
  }

  #relation(reader: Reader): Message {
    const oid = reader.uint32();
    const schema = reader.string() || 'pg_catalog';
    const name = reader.string();
    const replicaIdentity = String.fromCharCode(reader.byte());
    if (!isReplicaIdentity(replicaIdentity)) reader.fail(`unknown replica identity ${JSON.stringify(replicaIdentity)}`);
    const columns: RelationColumn[] = [];
    for (let left = reader.uint16(); left > 0; left--) {
      const key = (reader.byte() & 1) === 1;
      const columnName = reader.string();
      const typeOid = reader.uint32();
      reader.skip(4);
      columns.push({ name: columnName, typeOid, key });
    }
    const relation: Relation = { oid, schema, name, replicaIdentity, columns };
    this.#relations.set(oid, { relation, wanted: undefined, projected: false });
    return { tag: 'relation', relation };
  }

  #insert(reader: Reader): Message {
    const { relation, wanted } = this.#known(reader, reader.uint32());
    if (reader.byte() !== 0x4e) reader.fail("'N' wanted before the new row");
    return { tag: 'insert', relation, new: this.#tuple(reader, relation, wanted, false) };
  }

  #update(reader: Reader): Message {
    const { relation, wanted } = this.#known(reader, reader.uint32());
    let marker = reader.byte();
    let old: Tuple | undefined;
    if (marker === 0x4b || marker === 0x4f) {
      old = this.#tuple(reader, relation, wanted, marker === 0x4b);
      marker = reader.byte();
    }
    if (marker !== 0x4e) reader.fail("'N' wanted before the new row");
    return { tag: 'update', relation, old, new: this.#tuple(reader, relation, wanted, false) };
  }

  #delete(reader: Reader): Message {
    const { relation, wanted } = this.#known(reader, reader.uint32());
    const marker = reader.byte();
    if (marker !== 0x4b && marker !== 0x4f) reader.fail("'K' or 'O' wanted before the old row");
    return { tag: 'delete', relation, old: this.#tuple(reader, relation, wanted, marker === 0x4b) };
  }

  #truncate(reader: Reader): Message {
    const count = reader.uint32();
    reader.skip(1);
    const relations: Relation[] = [];
    for (let left = count; left > 0; left--) relations.push(this.#known(reader, reader.uint32()).relation);
    return { tag: 'truncate', relations };
  }

  #known(reader: Reader, oid: number): KnownRelation {
    const known = this.#relations.get(oid) ?? reader.fail(`relation ${oid} was not described`);
    if (!known.projected) {
      known.wanted = this.#project(known.relation);
      known.projected = true;
    }
    return known;
  }

  /** `keyOnly`: an old row of the form 'K', in which the other columns are sent as null but are not known. */
  #tuple(reader: Reader, relation: Relation, wanted: readonly number[] | undefined, keyOnly: boolean): Tuple {
    const count = reader.uint16();
    if (count !== relation.columns.length) {
      reader.fail(
        `${count} columns, but ${relation.schema}.${relation.name} was described with ${relation.columns.length}`,
      );
    }
    const values: TupleValue[] = [];
    let next = 0;
    for (let index = 0; index < count; index++) {
      const wants = wanted !== undefined && wanted[next] === index;
      if (wants) next++;
      const kind = reader.byte();
      if (kind === 0x74) {
        // 't'
        const length = reader.uint32();
        if (wants) values.push(reader.text(length));
        else reader.skip(length);
      } else if (kind === 0x6e) {
        // 'n'
        if (wants) values.push(keyOnly && !relation.columns[index]!.key ? undefined : null);
      } else if (kind === 0x75) {
        // 'u', unchanged TOAST
        if (wants) values.push(undefined);
      } else reader.fail(`unknown kind of value 0x${kind.toString(16)}`);
    }
    return values;
  }
}

function isReplicaIdentity(letter: string): letter is Relation['replicaIdentity'] {
  return letter === 'd' || letter === 'n' || letter === 'f' || letter === 'i';
}
