import type { Lsn } from '../lsn.ts';

// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html

export interface RelationColumn {
  readonly name: string;
  readonly typeOid: number;
  /** Part of the replica identity. */
  readonly key: boolean;
}

/** A table as it was when the following changes were written. */
export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** `pg_class.relreplident`: default, nothing, full, index. */
  readonly replicaIdentity: 'd' | 'n' | 'f' | 'i';
  readonly columns: readonly RelationColumn[];
}

/** PostgreSQL's text of a value; null; or undefined where it is not known: not sent (unchanged TOAST, or not part of the key), or oversized. */
export type TupleValue = string | null | undefined;

/** The values of the wanted columns, in the order in which they were wanted. */
export type Tuple = readonly TupleValue[];

/** What is to be decoded of the changes of a relation. */
export interface Projection {
  /** Indexes of the relation's columns, ascending. A tuple's slots are in this order. */
  readonly wanted: readonly number[];
  /**
   * Indexes of columns that not every partition sends in an old row. Those that do not send null instead, under the
   * identity of their root, so null means that the value is not known.
   */
  readonly unsure?: ReadonlySet<number> | undefined;
}

export interface Begin {
  readonly tag: 'begin';
  /** Position of the commit record. */
  readonly finalLsn: Lsn;
  /** Milliseconds since 1970. */
  readonly committedAt: number;
  readonly xid: number;
}
export interface Commit {
  readonly tag: 'commit';
  readonly commitLsn: Lsn;
  /** The position right after the commit record: what is acknowledged. */
  readonly endLsn: Lsn;
}
interface RelationMessage {
  readonly tag: 'relation';
  readonly relation: Relation;
}
interface Insert {
  readonly tag: 'insert';
  readonly relation: Relation;
  readonly new: Tuple;
}
interface Update {
  readonly tag: 'update';
  readonly relation: Relation;
  /** Undefined: no column of the identity changed. */
  readonly old: Tuple | undefined;
  readonly new: Tuple;
}
interface Delete {
  readonly tag: 'delete';
  readonly relation: Relation;
  readonly old: Tuple;
}
interface Truncate {
  readonly tag: 'truncate';
  readonly relations: readonly Relation[];
}
/** Written by `pg_logical_emit_message`. */
export interface LogicalMessage {
  readonly tag: 'message';
  readonly transactional: boolean;
  /** The end of its record. */
  readonly lsn: Lsn;
  readonly prefix: string;
  /** Undefined: nobody wants messages with this prefix, so it was not copied. */
  readonly content: Buffer | undefined;
}
/** Comes before the description of a relation that has a column of a type that is not built in. */
export interface TypeMessage {
  readonly tag: 'type';
  readonly oid: number;
  /** Of a domain: its base type, as it was when the change was written. */
  readonly schema: string;
  readonly name: string;
}
/** Read and checked, and of no further use. */
interface Ignored {
  readonly tag: 'ignored';
}

export type RowChange = Insert | Update | Delete | Truncate;
export type Message = Begin | Commit | RelationMessage | RowChange | LogicalMessage | TypeMessage | Ignored;
