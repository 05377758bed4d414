/** What happened to a row; for `truncated`: to a table. */
export type UpdateType = 'inserted' | 'updated' | 'deleted' | 'truncated';

/** Options of one watcher, the third element of its entry. Columns have the names of the schema type; `columnMap` applies. */
export interface WatcherOptions<Column extends string = string> {
  /** The watcher's name instead of `table:type`. Required with `triggerColumns`. Must not contain `:`. */
  readonly label?: string;
  /** Columns that events carry in addition to the primary key. Subscriptions can filter by them. Default: none. */
  readonly extraColumns?: readonly Column[];
  /** Only for `updated`: delivers an update only if one of these columns changed. PostgreSQL must send their old values (REPLICA IDENTITY). */
  readonly triggerColumns?: readonly Column[];
  /** A SQL expression over the row that the server evaluates, with column names of the database, e.g. `"status = 'paid'"`. It becomes
   *  a row filter of the publication (PostgreSQL 15+), so all watchers of a table must have the same one (`truncated` has none).
   *  If updates are published, an update that makes a row match arrives as `inserted`, and one that ends the match as `deleted`.
   *  With watchers of `updated` or `deleted`, only columns of the replica identity may be used. A changed expression applies to what
   *  is written after the new worker has taken over the slot. */
  readonly where?: string;
  /** What reading a value does that PostgreSQL did not send (see `context.absent`): `'throw'` (default) throws `VALUE_ABSENT`, so
   *  that the value is never mistaken for null; `'omit'` returns undefined and makes extra columns optional in the type. */
  readonly absent?: 'throw' | 'omit';
  /** Logs each step of this watcher at level `debug`. Default: the watch's `debug`. */
  readonly debug?: boolean;
}

/** A table that the schema type does not describe. Made by `table()`. */
export interface TableDefinition<
  Name extends string = string,
  Schema extends string = string,
  PK extends string = string,
  Row = any,
> {
  readonly tableName: Name;
  /** Default `'public'`. */
  readonly schema?: Schema;
  /** The column or columns that identify a row. They must be NOT NULL and unique; `start()` checks that. */
  readonly primaryKey: PK | readonly PK[];
  /** Name in code → name in the database, for columns whose names differ (and that `naming` does not translate). */
  readonly columnMap?: Readonly<Record<string, string>>;
  /** Never set: carries the row type. */
  readonly $row?: Row;
}

/** The parts of a Drizzle table that walwatch reads; it never imports drizzle. Property names become column names, also with `casing`.
 *  Identifiers use the name that was passed to `pgTable`, without the prefix that `pgTableCreator` adds. */
export interface DrizzleTable {
  readonly _: {
    readonly name: string;
    readonly schema: string | undefined;
    readonly columns: Record<string, { readonly _: { readonly isPrimaryKey: boolean } }>;
  };
  readonly $inferSelect: Record<string, any>;
}

/** An entry of `defineWatchers`: `[table, type, options?]`. A list of types makes one watcher per type, with the same options. A string is the table's exact name in the catalog; its first dot separates schema and table. */
export type WatcherEntry = readonly [
  table: string | TableDefinition | DrizzleTable,
  type: UpdateType | readonly UpdateType[],
  options?: WatcherOptions,
];

/** Decides whether an event is kept. Must be synchronous and pure. If it throws, the event has failed like in a handler. */
export type Condition = (event: any, previous: any) => boolean;

/** A rule that translates names in code to names in the database: the one of Kysely's `CamelCasePlugin`, with the same options. It
 *  applies to tables, schemas, columns and the keys of JSON values; not to Drizzle tables, `columnMap` and `where`. */
export type Naming = 'camelCase' | CamelCaseNaming;

/** The options of Kysely's `CamelCasePlugin`. All default to false. */
export interface CamelCaseNaming {
  /** Names in the database are in upper case: `userId` is `USER_ID`. */
  readonly upperCase?: boolean;
  /** `address2` is `address_2`. */
  readonly underscoreBeforeDigits?: boolean;
  /** `userID` is `user_i_d`. */
  readonly underscoreBetweenUppercaseLetters?: boolean;
  /** Leaves the keys of JSON values as they are. */
  readonly maintainNestedObjectKeys?: boolean;
}

/** The second argument of `defineWatchers`. */
export interface DefineOptions<Map = any> {
  /** Conditions that this process evaluates, by watcher name. */
  readonly when?: Conditions<Map>;
  /** Default: names in code are the names in the database.
   *  @example
   *  ```ts
   *  const watchers = defineWatchers<DB>()([['userAccounts', 'updated', { extraColumns: ['roleId'] }]], { naming: 'camelCase' });
   *  watch.subscribe('userAccounts:updated', { roleId: 7 }, handler); // user_accounts.role_id
   *  ``` */
  readonly naming?: Naming;
}

/** Checked watchers, made by `defineWatchers` for `createWatch`. `Map` maps each identifier to a `WatcherSpec`. */
export interface Watchers<Map = any> {
  readonly entries: readonly WatcherEntry[];
  /** Conditions that this process evaluates, by watcher name. */
  readonly when?: Readonly<Record<string, Condition>>;
  readonly naming?: Naming;
  /** Never set: carries the types. */
  readonly $map?: Map;
}

/** The types of one watcher. */
export interface WatcherSpec<Type extends UpdateType = UpdateType, Event = any, Filter = any> {
  readonly type: Type;
  readonly event: Event;
  readonly filter: Filter;
}

/** Conditions by watcher name. An event is kept if its condition returns true. `event` has the primary key and the extra columns,
 *  `previous` their old values as far as PostgreSQL sent them. Must be synchronous and pure; one that throws fails like a handler.
 *  To filter in the server, use `where`.
 *  @example
 *  ```ts
 *  { when: { order_paid: (event, previous) => event.status === 'paid' && previous.status !== 'paid' } }
 *  ``` */
export type Conditions<Map> = {
  readonly [N in keyof Map]?: Map[N] extends WatcherSpec<any, infer E, any>
    ? (event: E, previous: Readonly<Partial<E>>) => boolean
    : never;
};
