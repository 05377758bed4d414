import type { Client, CustomTypesConfig } from 'pg';
import type { Session } from '../postgres/session.ts';
import { quoteTable, readServer, type Server } from '../postgres/server.ts';
import type { Relation } from '../postgres/pgoutput/messages.ts';
import { readTables, type Table } from '../postgres/tables.ts';
import { TypeCatalog } from '../postgres/types.ts';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
import { type BoundWatcher, bindWatchers, databaseName } from './bind.ts';
import { changedKeys, lostColumns, schemaChanged } from './changed.ts';
import { BoundIndex, columnWarnings, identityNames, identityWarnings, isNamed, isUnknown } from './described.ts';
import { guardAbsent, setValue } from './event.ts';
import { columnParser, columnsOf, planRelation, type RelationPlan } from './plan.ts';
import type { Watcher } from './validate.ts';

export interface SchemaHost {
  /** Problems that only others can find. */
  issues(bound: readonly BoundWatcher[]): readonly ConfigurationIssue[];
  /** These watchers have a table now, or another one than before. */
  bound(bound: readonly BoundWatcher[]): void;
  warn(warnings: Iterable<WatchError>): void;
}

/** The watchers' tables as the catalog has them, updated when the stream describes a change. */
export class Schema {
  readonly types: TypeCatalog;
  readonly #watchers: readonly Watcher[];
  readonly #host: SchemaHost;
  /** Described relations that no watcher needs. */
  readonly #strangers = new Set<number>();
  #bound = new BoundIndex();
  #server: Pick<Server, 'major'> | undefined;
  /** Tables of which the server sends only the columns that the watchers need. */
  #projected: ReadonlySet<number> = new Set();

  constructor(watchers: readonly Watcher[], types: CustomTypesConfig | undefined, host: SchemaHost) {
    this.types = new TypeCatalog(types);
    this.#watchers = watchers;
    this.#host = host;
  }

  /** OIDs by quoted name. */
  get tableOids(): ReadonlyMap<string, number> {
    return new Map(this.#bound.all.map(({ table }) => [quoteTable(table), table.oid]));
  }

  bind(bound: readonly BoundWatcher[], server: Pick<Server, 'major'>, projected = this.#projected): void {
    this.#bound = new BoundIndex(bound);
    this.#server = server;
    this.#projected = projected;
    this.#host.bound(bound);
  }

  plan(relation: Relation): RelationPlan | undefined {
    const watchers = this.#bound.of(relation);
    return planRelation(relation, watchers, this.types, this.#isWhole(watchers));
  }

  /**
   * The stream describes a relation. Returns a promise if the catalog must be read before its changes can be decoded, after the
   * transaction has become `visible`.
   */
  described(relation: Relation, session: Session, visible: () => Promise<void>): Promise<void> | undefined {
    const watchers = this.#bound.of(relation);
    if (watchers.length === 0)
      return this.#isNewPartition(relation) ? this.#refresh(relation, session, visible) : undefined;
    const { table } = watchers[0]!;
    const sent = this.#projected.has(table.oid) ? new Set(watchers.flatMap(columnsOf)) : undefined;
    if (isUnknown(relation, table, this.types, sent)) return this.#refresh(relation, session, visible);
    this.#host.warn(identityWarnings(relation, watchers));
    return undefined;
  }

  /** Whether no column list leaves out columns of the table. */
  #isWhole(watchers: readonly BoundWatcher[]): boolean {
    return !watchers.some(({ table }) => this.#projected.has(table.oid));
  }

  /** Changes of partitions are sent under their root, but the partition is described as well, before its first change. */
  #isNewPartition(relation: Relation): boolean {
    if (this.#strangers.has(relation.oid) || !this.#bound.all.some(({ table }) => table.kind === 'p')) return false;
    const known = this.#bound.leaf(relation);
    return known === undefined || known.replicaIdentity !== identityNames[relation.replicaIdentity];
  }

  /** Parses the texts of a watcher's columns as if they had just been received. Returns them unchanged if the watcher does not exist. */
  async parse(
    client: Client,
    watcher: string,
    texts: Readonly<Record<string, string | null>>,
    absent: readonly string[],
  ): Promise<Record<string, unknown>> {
    if (this.#bound.all.length === 0) await this.#lookUp(client);
    const bound = this.#bound.all.find((one) => one.watcher.name === watcher);
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

  /** Reads the tables for a process that does not stream. `start()` would have read the same. */
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
    this.#bound = new BoundIndex(bindWatchers(this.#watchers, tables, server).bound);
  }

  /** Binds the watchers of a relation to the current catalog. Leaves other watchers alone: their changes may still be older. */
  async #refresh(relation: Relation, session: Session, visible: () => Promise<void>): Promise<void> {
    await visible();
    const before = this.#bound;
    const server = this.#server!;
    await session.use(async (client) => {
      const tables = await this.#readOf(client, relation);
      const now = bindWatchers(this.#watchers, tables, server, before.all);
      const concerned = new Set(
        [before, new BoundIndex(now.bound)].flatMap((index) =>
          index.concernedBy(relation).map(({ watcher }) => watcher.name),
        ),
      );
      const concernedOf = (all: readonly BoundWatcher[]) => all.filter(({ watcher }) => concerned.has(watcher.name));
      const [known, found] = [concernedOf(before.all), concernedOf(now.bound)];
      const gone = await this.#gone(client, relation, known, tables);
      const isConcerned = ({ watcher }: ConfigurationIssue) =>
        watcher === undefined || (concerned.has(watcher) && !gone.has(watcher));
      const misfits = [...now.issues, ...changedKeys(known, found), ...this.#host.issues(found)].filter(isConcerned);
      if (misfits.length > 0) throw schemaChanged(relation, known, misfits);
      // A dropped table stays as it was: more of its changes may arrive.
      const latest = new Map([...known, ...found].map((one) => [one.watcher.name, one]));
      const bound = new BoundIndex(before.all.map((one) => latest.get(one.watcher.name) ?? one));
      const changed = [...latest.values()];
      const columns = [...relation.columns, ...changed.flatMap(({ table }) => table.columns)];
      await this.types.resolve(
        client,
        columns.map((column) => column.typeOid),
      );
      if (concerned.size === 0) this.#strangers.add(relation.oid);
      this.#host.warn(lostColumns(known, changed));
      // The inspection reports tables whose changes PostgreSQL refuses now.
      const refused = (issue: ConfigurationIssue) =>
        changed.some(({ watcher, table }) => watcher.name === issue.watcher && table.withoutIdentity.length > 0);
      this.#host.warn(
        now.identity
          .filter((issue) => isConcerned(issue) && !refused(issue))
          .map(({ message, solution }) => new WatchError('REPLICA_IDENTITY', message, { solution })),
      );
      const watchers = bound.of(relation);
      this.#host.warn(identityWarnings(relation, watchers));
      this.#host.warn(columnWarnings(relation, watchers, this.#isWhole(watchers)));
      this.#bound = bound;
      this.#host.bound(changed);
    });
  }

  /** The tables of all watchers: those that a relation can affect as they are in the catalog now, the others as they were. */
  async #readOf(client: Client, relation: Relation): Promise<readonly Table[]> {
    const concerned = [...this.#bound.concernedBy(relation), ...this.#bound.named(relation)];
    const asked = new Map(concerned.map(({ watcher }) => [quoteTable(watcher.table), watcher.table]));
    const read = await readTables(client, [...asked.values()], relation.oid);
    const known = new Set([...asked.keys(), ...read.map(quoteTable)]);
    const others = this.#bound.all.map(({ table }) => table).filter((table) => !known.has(quoteTable(table)));
    return [...read, ...new Set(others)];
  }

  /** The watchers whose table was dropped; the inspection reports those. A renamed table is not among them: it no longer fits its watchers. */
  async #gone(
    client: Client,
    relation: Relation,
    known: readonly BoundWatcher[],
    tables: readonly Table[],
  ): Promise<ReadonlySet<string>> {
    const there = new Set(tables.map(quoteTable));
    const absent = known.filter(({ watcher }) => !there.has(quoteTable(watcher.table)));
    if (absent.length === 0) return new Set();
    const { rows } = await client.query<{ oid: number }>(
      'select c.oid from pg_catalog.pg_class c where c.oid = any ($1::pg_catalog.oid[])',
      [[relation.oid, ...absent.map(({ table }) => table.oid)]],
    );
    const oids = new Set(rows.map(({ oid }) => oid));
    const isGone = ({ watcher, table }: BoundWatcher) =>
      !oids.has(table.oid) && !(isNamed(relation, watcher.table) && oids.has(relation.oid));
    return new Set(absent.filter(isGone).map(({ watcher }) => watcher.name));
  }
}
