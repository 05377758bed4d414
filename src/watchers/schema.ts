import type { Session } from '../postgres/session.ts';
import { quoteTable, readServer, type Server } from '../postgres/server.ts';
import { readTables, type ReplicaIdentity, type Table } from '../postgres/tables.ts';
import { TypeCatalog } from '../postgres/types.ts';
import { ConfigurationError, type ConfigurationIssue, WatchError } from '../errors.ts';
import type { Client, CustomTypesConfig } from 'pg';
import type { Relation } from '../postgres/pgoutput/messages.ts';
import { type BoundWatcher, bindWatchers, databaseName } from './bind.ts';
import { guardAbsent, setValue } from './event.ts';
import { columnParser, columnsOf, planRelation, type RelationPlan } from './plan.ts';
import type { Watcher } from './validate.ts';

export interface SchemaHost {
  /** What else is wrong, of what only others know. */
  issues(bound: readonly BoundWatcher[]): readonly ConfigurationIssue[];
  /** The watchers have got tables, or others than before. */
  bound(bound: readonly BoundWatcher[]): void;
  warn(warnings: Iterable<WatchError>): void;
}

/** The watchers' tables as the catalog has them, kept in step with what the stream says of them. */
export class Schema {
  readonly types: TypeCatalog;
  readonly #watchers: readonly Watcher[];
  readonly #host: SchemaHost;
  /** Described relations that no watcher's table has to do with. */
  readonly #strangers = new Set<number>();
  #bound: readonly BoundWatcher[] = [];
  #server: Pick<Server, 'major'> | undefined;
  /** Tables of which the server sends only what the watchers need. */
  #projected: ReadonlySet<number> = new Set();

  constructor(watchers: readonly Watcher[], types: CustomTypesConfig | undefined, host: SchemaHost) {
    this.types = new TypeCatalog(types);
    this.#watchers = watchers;
    this.#host = host;
  }

  /** By quoted name. */
  get tableOids(): ReadonlyMap<string, number> {
    return new Map(this.#bound.map(({ table }) => [quoteTable(table), table.oid]));
  }

  bind(bound: readonly BoundWatcher[], server: Pick<Server, 'major'>, projected = this.#projected): void {
    this.#bound = bound;
    this.#server = server;
    this.#projected = projected;
    this.#host.bound(bound);
  }

  plan(relation: Relation): RelationPlan | undefined {
    return planRelation(relation, watchersOf(relation, this.#bound), this.types);
  }

  /**
   * The stream describes a relation. A promise: the catalog must be asked before its changes can be understood, once
   * the transaction is `visible`.
   */
  described(relation: Relation, session: Session, visible: () => Promise<void>): Promise<void> | undefined {
    const watchers = watchersOf(relation, this.#bound);
    if (watchers.length === 0)
      return this.#isNewPartition(relation) ? this.#refresh(relation, session, visible) : undefined;
    this.#host.warn(identityWarnings(relation, watchers));
    const { table } = watchers[0]!;
    const sent = this.#projected.has(table.oid) ? new Set(watchers.flatMap(columnsOf)) : undefined;
    return isUnknown(relation, table, this.types, sent) ? this.#refresh(relation, session, visible) : undefined;
  }

  /** Changes of partitions come under their root, but partitions are described as well, before their first change. */
  #isNewPartition(relation: Relation): boolean {
    const partitioned = this.#bound.filter(({ table }) => table.kind === 'p');
    if (partitioned.length === 0 || this.#strangers.has(relation.oid)) return false;
    const known = partitioned.flatMap(({ table }) => table.leaves).find((leaf) => leaf.oid === relation.oid);
    return known === undefined || known.replicaIdentity !== identityNames[relation.replicaIdentity];
  }

  /** Parses texts of a watcher's columns as if they had just been received; leaves them as they are when there is no such watcher. */
  async parse(
    client: Client,
    watcher: string,
    texts: Readonly<Record<string, string | null>>,
    absent: readonly string[],
  ): Promise<Record<string, unknown>> {
    if (this.#bound.length === 0) await this.#lookUp(client);
    const bound = this.#bound.find((one) => one.watcher.name === watcher);
    if (!bound) return { ...texts };
    const parse = (name: string, text: string) => {
      const column = bound.table.columns.find((one) => one.name === databaseName(bound.watcher.table, name));
      return column ? columnParser(bound, name, this.types.baseType(column.typeOid), this.types)(text) : text;
    };
    const event: Record<string, unknown> = {};
    for (const [name, text] of Object.entries(texts)) setValue(event, name, text === null ? null : parse(name, text));
    guardAbsent(event, absent, bound);
    return event;
  }

  /** What start() would have found, for who does not stream. */
  async #lookUp(client: Client): Promise<void> {
    const server = await readServer(client);
    const tables = await readTables(
      client,
      this.#watchers.map(({ table }) => table),
    );
    await this.types.resolve(
      client,
      tables.flatMap((table) => table.columns.map((column) => column.typeOid)),
    );
    this.#bound = bindWatchers(this.#watchers, tables, server).bound;
  }

  async #refresh(relation: Relation, session: Session, visible: () => Promise<void>): Promise<void> {
    await visible();
    const before = this.#bound;
    const server = this.#server!;
    await session.use(async (client) => {
      const tables = await readTables(
        client,
        this.#watchers.map(({ table }) => table),
      );
      const { bound, issues, identity } = bindWatchers(this.#watchers, tables, server);
      const misfits = [...issues, ...changedKeys(before, bound), ...this.#host.issues(bound)];
      if (misfits.length > 0) throw schemaChanged(relation, misfits);
      const columns = [...relation.columns, ...tables.flatMap((table) => table.columns)];
      await this.types.resolve(
        client,
        columns.map((column) => column.typeOid),
      );
      this.#host.warn(lostColumns(before, bound));
      if (watchersOf(relation, bound).length === 0) {
        this.#strangers.add(relation.oid);
        this.#host.warn(
          identity.map(({ message, solution }) => new WatchError('REPLICA_IDENTITY', message, { solution })),
        );
      }
      this.bind(bound, server);
    });
  }
}

const identityNames: Readonly<Record<Relation['replicaIdentity'], ReplicaIdentity>> = {
  d: 'default',
  f: 'full',
  i: 'index',
  n: 'nothing',
};

function schemaChanged(relation: Relation, issues: readonly ConfigurationIssue[]): WatchError {
  const cause = new ConfigurationError(issues);
  return new WatchError(
    'SCHEMA_CHANGED',
    `${relation.schema}.${relation.name} was changed, and does not fit the watchers any more: ${cause.message}`,
    {
      solution: 'Deploy watchers that fit the new schema. What was written since was not acknowledged and comes again.',
      cause,
    },
  );
}

/** Bare table names have the table's own key: another one would make other events. */
function changedKeys(before: readonly BoundWatcher[], now: readonly BoundWatcher[]): ConfigurationIssue[] {
  return now.flatMap(({ watcher, primaryKey }) => {
    const known = before.find((one) => one.watcher === watcher)?.primaryKey ?? primaryKey;
    if (known.join('\0') === primaryKey.join('\0')) return [];
    return [
      {
        message: `${watcher.name}: the primary key was ${known.join(', ')} and is now ${primaryKey.join(', ')}`,
        solution: 'Start again: events have the new key from then on. Or name the key with table(…).',
        watcher: watcher.name,
      },
    ];
  });
}

/** Columns that are gone, or of another type, and that no watcher needs: otherwise it would be an error. */
function lostColumns(before: readonly BoundWatcher[], now: readonly BoundWatcher[]): WatchError[] {
  return before.flatMap(({ watcher, table }) => {
    const after = now.find((one) => one.watcher === watcher)?.table;
    const lost = table.columns.filter(
      ({ name, typeOid }) => !after?.columns.some((column) => column.name === name && column.typeOid === typeOid),
    );
    return lost.map(({ name }) => {
      const gone = !after?.columns.some((column) => column.name === name);
      return new WatchError(
        'SCHEMA_CHANGED',
        `the column '${name}' of ${quoteTable(table)} ${gone ? 'is gone' : 'has another type now'}`,
        {
          solution: gone ? 'No watcher needs it.' : 'Events have values of the new type from now on.',
        },
      );
    });
  });
}

/** The watchers of a relation: by OID, because names in old WAL may be old; else by name, because a table may have been made anew. */
function watchersOf(relation: Relation, bound: readonly BoundWatcher[]): readonly BoundWatcher[] {
  const byOid = bound.filter(({ table }) => table.oid === relation.oid);
  if (byOid.length > 0) return byOid;
  return bound.filter(({ table }) => table.schema === relation.schema && table.name === relation.name);
}

/**
 * Whether a relation is not as the catalog had its table: it was changed, or the WAL is older than the last change.
 * `sent`: the columns that must be there if not all of them are.
 */
export function isUnknown(relation: Relation, table: Table, types: TypeCatalog, sent?: ReadonlySet<string>): boolean {
  if (table.schema !== relation.schema || table.name !== relation.name) return true;
  const described = new Map(relation.columns.map((column) => [column.name, column]));
  const expected = table.columns.filter(({ name, generated }) => sent?.has(name) ?? generated === undefined);
  if (expected.some(({ name }) => !described.has(name))) return true;
  const known = new Map(table.columns.map((column) => [column.name, column]));
  return relation.columns.some(
    ({ name, typeOid, key }) =>
      known.get(name)?.typeOid !== typeOid ||
      !types.knows(typeOid) ||
      (table.kind !== 'p' && key !== table.identityColumns.has(name)),
  );
}

/** What a relation's replica identity does not give although a watcher needs it. */
export function identityWarnings(relation: Relation, bound: readonly BoundWatcher[]): WatchError[] {
  const known = new Set(relation.columns.filter((column) => column.key).map((column) => column.name));
  return bound.flatMap((one) => {
    const { watcher, primaryKey } = one;
    const needed =
      watcher.type === 'deleted'
        ? [...primaryKey, ...watcher.extraColumns]
        : watcher.type === 'updated'
          ? watcher.triggerColumns
          : [];
    const missing = needed.map((column) => databaseName(watcher.table, column)).filter((column) => !known.has(column));
    if (missing.length === 0) return [];
    const what =
      watcher.type === 'updated'
        ? 'updates are delivered whether or not these changed'
        : 'reading it throws VALUE_ABSENT';
    return [
      new WatchError(
        'REPLICA_IDENTITY',
        `${watcher.name}: the replica identity of ${relation.schema}.${relation.name} does not give the old value of ${missing.join(', ')}; ${what}`,
        { solution: `ALTER TABLE ${quoteTable(relation)} REPLICA IDENTITY FULL;` },
      ),
    ];
  });
}
