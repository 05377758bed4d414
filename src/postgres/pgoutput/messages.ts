import type { Lsn } from '../lsn.ts';

// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html

export interface RelationColumn {
  readonly name: string;
  readonly typeOid: number;
  /** Part of the replica identity. */
  readonly key: boolean;
}

/** A table as it was when the changes after this message were written. */
export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** `pg_class.relreplident`: default, nothing, full, index. */
  readonly replicaIdentity: 'd' | 'n' | 'f' | 'i';
  readonly columns: readonly RelationColumn[];
}

/** PostgreSQL's text of a value, or null. Undefined: unknown, because it was not sent (unchanged TOAST, or not part of the key) or is too long. */
export type TupleValue = string | null | undefined;

/** The values of the needed columns, in the order of `Projection.wanted`. */
export type Tuple = readonly TupleValue[];

/** Which columns of a relation are decoded. */
export interface Projection {
  /** Indexes of the relation's columns, ascending. A tuple's slots are in this order. */
  readonly wanted: readonly number[];
  /**
   * Indexes of columns that some partitions do not send in an old row. Under the root's replica identity such a partition sends null
   * instead, so null means that the value is unknown.
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
  /** The position right after the commit record: the one to acknowledge. */
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
  /** Undefined: the update changed no column of the replica identity. */
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
  /** The end of its WAL record. */
  readonly lsn: Lsn;
  readonly prefix: string;
  /** Undefined: no subscription has this prefix, so the content was not copied. */
  readonly content: Buffer | undefined;
}
/** Sent before the description of a relation that has a column with a type that is not built in. */
export interface TypeMessage {
  readonly tag: 'type';
  readonly oid: number;
  /** For a domain: the schema and name of its base type when the change was written. */
  readonly schema: string;
  readonly name: string;
}
/** Checked, but not needed. */
interface Ignored {
  readonly tag: 'ignored';
}

export type RowChange = Insert | Update | Delete | Truncate;
export type Message = Begin | Commit | RelationMessage | RowChange | LogicalMessage | TypeMessage | Ignored;
