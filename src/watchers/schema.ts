import type { Session } from '../catalog/session.ts';
import { quoteTable, type Server } from '../catalog/server.ts';
import { readTables } from '../catalog/tables.ts';
import { TypeCatalog } from '../catalog/types.ts';
import { ConfigurationError, type ConfigurationIssue, WatchError } from '../errors.ts';
import type { CustomTypesConfig } from 'pg';
import type { Relation } from '../pgoutput/messages.ts';
import { type BoundWatcher, bindWatchers, databaseName } from './bind.ts';
import { columnsOf, planRelation, type RelationPlan } from './plan.ts';
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
  #bound: readonly BoundWatcher[] = [];
  #server: Pick<Server, 'major'> | undefined;

  constructor(watchers: readonly Watcher[], types: CustomTypesConfig | undefined, host: SchemaHost) {
    this.types = new TypeCatalog(types);
    this.#watchers = watchers;
    this.#host = host;
  }

  /** By quoted name. */
  get tableOids(): ReadonlyMap<string, number> {
    return new Map(this.#bound.map(({ table }) => [quoteTable(table), table.oid]));
  }

  bind(bound: readonly BoundWatcher[], server: Pick<Server, 'major'>): void {
    this.#bound = bound;
    this.#server = server;
    this.#host.bound(bound);
  }

  plan(relation: Relation): RelationPlan | undefined {
    return planRelation(relation, watchersOf(relation, this.#bound), this.types);
  }

  /** The stream describes a relation. A promise: the catalog must be asked before its changes can be understood. */
  described(relation: Relation, session: Session): Promise<void> | undefined {
    const watchers = watchersOf(relation, this.#bound);
    if (watchers.length === 0) return undefined;
    this.#host.warn(identityWarnings(relation, watchers));
    return isUnknown(relation, watchers, this.types) ? this.#refresh(relation, session) : undefined;
  }

  async #refresh(relation: Relation, session: Session): Promise<void> {
    await session.use(async (client) => {
      const tables = await readTables(
        client,
        this.#watchers.map(({ table }) => table),
      );
      const { bound, issues } = bindWatchers(this.#watchers, tables, this.#server!);
      const misfits = [...issues, ...this.#host.issues(bound)];
      if (misfits.length > 0) throw schemaChanged(relation, misfits);
      const columns = [...relation.columns, ...tables.flatMap((table) => table.columns)];
      await this.types.resolve(
        client,
        columns.map((column) => column.typeOid),
      );
      this.bind(bound, this.#server!);
    });
  }
}

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

/** The watchers of a relation: by OID, because names in old WAL may be old; else by name, because a table may have been made anew. */
export function watchersOf(relation: Relation, bound: readonly BoundWatcher[]): readonly BoundWatcher[] {
  const byOid = bound.filter(({ table }) => table.oid === relation.oid);
  if (byOid.length > 0) return byOid;
  return bound.filter(({ table }) => table.schema === relation.schema && table.name === relation.name);
}

/** Whether the catalog must be asked before changes of the relation can be understood. */
export function isUnknown(relation: Relation, bound: readonly BoundWatcher[], types: TypeCatalog): boolean {
  const columns = new Map(relation.columns.map((column) => [column.name, column]));
  return bound.some(
    (one) =>
      one.table.schema !== relation.schema ||
      one.table.name !== relation.name ||
      columnsOf(one).some((name) => {
        const column = columns.get(name);
        return column === undefined || !types.knows(column.typeOid);
      }),
  );
}

/** What a relation's replica identity does not give any more although a watcher needs it. */
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
    return [
      new WatchError(
        'REPLICA_IDENTITY',
        `${watcher.name}: the replica identity of ${relation.schema}.${relation.name} does not give the old value of ${missing.join(', ')}` +
          (watcher.type === 'updated' ? '; updates are delivered whether or not these changed' : ''),
        { solution: `ALTER TABLE "${relation.schema}"."${relation.name}" REPLICA IDENTITY FULL;` },
      ),
    ];
  });
}
