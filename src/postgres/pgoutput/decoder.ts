import { KnownRelation, keyOnly, newRow, wholeRow } from './known-relation.ts';
import { LargeMessage } from './large-message.ts';
import { bytesPerValue, textBytes } from './memory.ts';
import type { Message, Projection, Relation, RelationColumn, Tuple, TupleValue } from './messages.ts';
import { longestText, noteOversized } from './oversized.ts';
import { Reader } from './reader.ts';

/** The columns that are needed of a relation. Undefined: none. */
export type Project = (relation: Relation) => Projection | undefined;

/** Whether the content of a logical message is needed. `bytes`: its size. */
export type WantsMessage = (prefix: string, bytes: number) => boolean;

/** PostgreSQL counts microseconds since 2000-01-01. */
const postgresEpoch = 946_684_800_000;
const ignored = { tag: 'ignored' } as const;

/**
 * Decodes pgoutput, protocol version 1: bytes → messages. Its only state is the relations of this connection. PostgreSQL describes
 * each relation before its first change, and again after it was altered.
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
export class Decoder {
  readonly #project: Project;
  readonly #wantsMessage: WantsMessage;
  readonly #relations = new Map<number, KnownRelation>();
  readonly #reader = new Reader();
  /** Bytes of memory that the values of the last message take. Values that were skipped take none. */
  kept = 0;

  constructor(project: Project, wantsMessage: WantsMessage = () => true) {
    this.#project = project;
    this.#wantsMessage = wantsMessage;
  }

  /** Starts decoding a message of `length` bytes while it arrives. `type`: its first byte. */
  large(type: number, length: number): LargeMessage {
    return new LargeMessage(type, length, {
      known: (oid) => this.#known(oid),
      wantsMessage: this.#wantsMessage,
      decode: (bytes) => this.decode(bytes),
    });
  }

  /** Asks again which columns are needed, because the watchers' needs have changed. */
  projectAnew(): void {
    for (const known of this.#relations.values()) known.forget();
  }

  /** Decodes the message from `start` to `end`. @throws ProtocolError if the bytes make no sense */
  decode(bytes: Buffer, start = 0, end = bytes.length): Message {
    const reader = this.#reader;
    this.kept = 0;
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
        const length = reader.uint32();
        const content = this.#wantsMessage(prefix, length) ? reader.copy(length) : reader.skip(length);
        if (content !== undefined) this.kept = prefix.length + length;
        return { tag: 'message', transactional, lsn, prefix, content };
      }
      case 0x59: // 'Y'
        return { tag: 'type', oid: reader.uint32(), schema: reader.string() || 'pg_catalog', name: reader.string() };
      case 0x4f: // 'O', the origin of a replicated transaction
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
    this.#relations.set(oid, new KnownRelation(relation));
    return { tag: 'relation', relation };
  }

  #insert(reader: Reader): Message {
    const known = this.#known(reader.uint32());
    if (reader.byte() !== newRow) reader.fail("expected 'N' before the new row");
    return { tag: 'insert', relation: known.relation, new: this.#tuple(reader, known, newRow) };
  }

  #update(reader: Reader): Message {
    const known = this.#known(reader.uint32());
    let marker = reader.byte();
    let old: Tuple | undefined;
    if (marker === keyOnly || marker === wholeRow) {
      old = this.#tuple(reader, known, marker);
      marker = reader.byte();
    }
    if (marker !== newRow) reader.fail("expected 'N' before the new row");
    return { tag: 'update', relation: known.relation, old, new: this.#tuple(reader, known, newRow) };
  }

  #delete(reader: Reader): Message {
    const known = this.#known(reader.uint32());
    const marker = reader.byte();
    if (marker !== keyOnly && marker !== wholeRow) reader.fail("expected 'K' or 'O' before the old row");
    return { tag: 'delete', relation: known.relation, old: this.#tuple(reader, known, marker) };
  }

  #truncate(reader: Reader): Message {
    const count = reader.uint32();
    reader.skip(1);
    const relations: Relation[] = [];
    for (let left = count; left > 0; left--) relations.push(this.#known(reader.uint32()).relation);
    return { tag: 'truncate', relations };
  }

  #known(oid: number): KnownRelation {
    const known = this.#relations.get(oid) ?? this.#reader.fail(`relation ${oid} was not described`);
    known.project(this.#project);
    return known;
  }

  #tuple(reader: Reader, known: KnownRelation, marker: number): Tuple {
    const count = reader.uint16();
    known.check(count, reader);
    const values: TupleValue[] = [];
    let kept = 0;
    for (let index = 0; index < count; index++) {
      const wants = known.wants(values.length, index);
      const kind = reader.byte();
      if (kind === 0x74) {
        // 't'
        const length = reader.uint32();
        if (wants && length <= longestText) {
          const text = reader.text(length);
          kept += textBytes(text, length);
          values.push(text);
        } else {
          reader.skip(length);
          if (!wants) continue;
          noteOversized(values, values.length, length);
          values.push(undefined);
        }
      } else if (kind === 0x6e) {
        // 'n'
        if (wants) values.push(known.nullOf(marker, index));
      } else if (kind === 0x75) {
        // 'u', unchanged TOAST
        if (wants) values.push(undefined);
      } else reader.fail(`unknown kind of value 0x${kind.toString(16)}`);
    }
    this.kept += kept + values.length * bytesPerValue;
    return values;
  }
}

function isReplicaIdentity(letter: string): letter is Relation['replicaIdentity'] {
  return letter === 'd' || letter === 'n' || letter === 'f' || letter === 'i';
}
