/** What happened to a row, or for `truncated` to a table. */
export type UpdateType = 'inserted' | 'updated' | 'deleted' | 'truncated';

/** Options of one watcher: the third element of its entry. Column names are those of the schema type (`columnMap` applies). */
export interface WatcherOptions<Column extends string = string> {
  /** The watcher's identifier in place of `table:type`. Required with `triggerColumns`. No `:` in it. */
  readonly label?: string;
  /** Columns besides the primary key that events carry and that subscriptions may filter by. Default: none. */
  readonly extraColumns?: readonly Column[];
  /** `updated` only: an event only when one of these changed its value. Needs their old values (REPLICA IDENTITY). */
  readonly triggerColumns?: readonly Column[];
  /** A SQL expression over the row, run by the server (publication row filter, PostgreSQL 15+); every watcher of the table
   *  must have the same, but `truncated`, which has none. Columns are by their names in the database. Where updates are
   *  published, a row that comes to match is `inserted`, and one that does not match any more is `deleted`. With watchers of `updated` or `deleted`, only
   *  columns of the replica identity may be used. After a change it holds for what is written once the slot is taken over. */
  readonly where?: string;
  /** A value that PostgreSQL did not send (see `context.absent`): `'throw'` (default) makes reading it throw
   *  `VALUE_ABSENT`, so that it is never mistaken for null; `'omit'` leaves it undefined and makes extra columns optional in the type. */
  readonly absent?: 'throw' | 'omit';
  /** Logs each step of this watcher at level `debug`. Default false. */
  readonly debug?: boolean;
}

/** A table that the schema type does not describe; made by `table()`. */
export interface TableDefinition<
  Name extends string = string,
  Schema extends string = string,
  PK extends string = string,
  Row = any,
> {
  readonly tableName: Name;
  /** Default `'public'`. */
  readonly schema?: Schema;
  /** Column(s) that identify a row. Must be NOT NULL and unique, checked at start. */
  readonly primaryKey: PK | readonly PK[];
  /** Name in code → name in the database, for names that differ (and that `naming` does not give). */
  readonly columnMap?: Readonly<Record<string, string>>;
  /** Never set: carries the row type. */
  readonly $row?: Row;
}

/** What of a Drizzle table is used (structural: drizzle is never imported). Property names are mapped to column names, also with
 *  `casing`. Identifiers have the name that was given to `pgTable`, without what `pgTableCreator` makes of it. */
export interface DrizzleTable {
  readonly _: {
    readonly name: string;
    readonly schema: string | undefined;
    readonly columns: Record<string, { readonly _: { readonly isPrimaryKey: boolean } }>;
  };
  readonly $inferSelect: Record<string, any>;
}

/** An entry of `defineWatchers`: `[table, type, options?]`. A list of types makes a watcher of each, with the same options. A string names a table exactly as in the catalog, a first dot parts schema and table. */
export type WatcherEntry = readonly [
  table: string | TableDefinition | DrizzleTable,
  type: UpdateType | readonly UpdateType[],
  options?: WatcherOptions,
];

/** Whether an event is kept. Synchronous and pure; what it throws counts as a failed handler. */
export type Condition = (event: any, previous: any) => boolean;

/** How names in code become names in the database where they differ by a rule: what Kysely's `CamelCasePlugin` does, which may be
 *  given the same object. It holds for tables, schemas, columns and keys in JSON; not for Drizzle tables, `columnMap` and `where`. */
export type Naming = 'camelCase' | CamelCaseNaming;

/** The options of Kysely's `CamelCasePlugin`. All are false by default. */
export interface CamelCaseNaming {
  /** The database has `USER_ID`. */
  readonly upperCase?: boolean;
  /** `address2` is `address_2`. */
  readonly underscoreBeforeDigits?: boolean;
  /** `userID` is `user_i_d`. */
  readonly underscoreBetweenUppercaseLetters?: boolean;
  /** Values of JSON keep their keys. */
  readonly maintainNestedObjectKeys?: boolean;
}

/** Options of `defineWatchers`, beside the list. */
export interface DefineOptions<Map = any> {
  readonly when?: Conditions<Map>;
  /** Default: names in code are those in the database.
   *  @example
   *  ```ts
   *  const watchers = defineWatchers<DB>()([['userAccounts', 'updated', { extraColumns: ['roleId'] }]], { naming: 'camelCase' });
   *  watch.subscribe('userAccounts:updated', { roleId: 7 }, handler); // user_accounts.role_id
   *  ``` */
  readonly naming?: Naming;
}

/** Checked watchers: what `createWatch` takes. `Map` maps each identifier to a `WatcherSpec`. */
export interface Watchers<Map = any> {
  readonly entries: readonly WatcherEntry[];
  /** In-process conditions by identifier. */
  readonly when?: Readonly<Record<string, Condition>>;
  readonly naming?: Naming;
  /** Never set: carries the types. */
  readonly $map?: Map;
}

/** Types of one watcher. */
export interface WatcherSpec<Type extends UpdateType = UpdateType, Event = any, Filter = any> {
  readonly type: Type;
  readonly event: Event;
  readonly filter: Filter;
}

/** In-process conditions by identifier: an event is kept when its condition is true. Sees primary key and extra columns, `previous` the
 *  old values as far as they are known. Synchronous and pure; what it throws counts as a failed handler. (`where` runs in the server.)
 *  @example
 *  ```ts
 *  { when: { order_paid: (event, previous) => event.status === 'paid' && previous.status !== 'paid' } }
 *  ``` */
export type Conditions<Map> = {
  readonly [N in keyof Map]?: Map[N] extends WatcherSpec<any, infer E, any>
    ? (event: E, previous: Readonly<Partial<E>>) => boolean
    : never;
};
