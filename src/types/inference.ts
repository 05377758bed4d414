/**
 * Derives the types of a watch from the schema type and the entries of `defineWatchers`. None of this is public: the public API
 * exposes it as the types of events, filters and identifiers. `test/types` states what it must do.
 */
import type {
  DrizzleTable,
  TableDefinition,
  UpdateType,
  WatcherEntry,
  WatcherOptions,
  Watchers,
  WatcherSpec,
} from './watchers.ts';

export type MapOf<W extends Watchers> = NonNullable<W['$map']>;
export type Untyped = { readonly [table: string]: { readonly [column: string]: unknown } };
type Flat<T> = { readonly [K in keyof T]: T[K] } & {};
/** What a select returns for a column: unwraps Kysely's ColumnType by its structure. */
type Selected<V> = V extends { readonly __select__: infer S } ? S : V;
export type SchemaOf<T extends DrizzleTable> = T['_']['schema'] extends infer S extends string ? S : 'public';

type TableName<T> = T extends `public.${infer N}`
  ? N
  : T extends string
    ? T
    : T extends TableDefinition<infer N, infer S, any, any>
      ? Qualified<S, N>
      : T extends DrizzleTable
        ? Qualified<SchemaOf<T>, T['_']['name']>
        : never;
type Qualified<S extends string, N extends string> = S extends 'public' ? N : `${S}.${N}`;
type RowOf<DB, T> = T extends string
  ? T extends keyof DB
    ? DB[T]
    : never
  : T extends TableDefinition<any, any, any, infer R>
    ? R
    : T extends DrizzleTable
      ? T['$inferSelect']
      : never;
/** Primary key as far as the types show it: named by `table()`, marked in Drizzle, otherwise `id`. `never` if the table lacks that column. */
type KeyOf<DB, T> = T extends string
  ? string extends keyof RowOf<DB, T>
    ? string
    : 'id' & keyof RowOf<DB, T>
  : T extends TableDefinition<any, any, infer PK, any>
    ? PK
    : T extends DrizzleTable
      ? DrizzleKey<T['_']['columns']>
      : never;
export type DrizzleKey<C extends DrizzleTable['_']['columns']> = {
  [K in keyof C]: C[K]['_']['isPrimaryKey'] extends true ? K : never;
}[keyof C] &
  string;

type OptionsOf<E> = E extends readonly [any, any, infer O] ? O : {};
type Extra<O> = O extends { readonly extraColumns: readonly (infer C extends string)[] } ? C : never;
type Identifier<E> = E extends readonly [infer T, infer U extends UpdateType, ...any]
  ? OptionsOf<E> extends { readonly label: infer L extends string }
    ? L
    : `${TableName<T>}:${U}`
  : never;

type EventType<Row, PK extends string, X extends string, O> = string extends PK
  ? { readonly [column: string]: unknown }
  : O extends { readonly absent: 'omit' }
    ? Flat<{ [C in PK & keyof Row]: Selected<Row[C]> } & { [C in X & keyof Row]?: Selected<Row[C]> }>
    : { readonly [C in (PK | X) & keyof Row]: Selected<Row[C]> };
type Scalar = string | number | bigint | boolean | null;
type FilterValue<V> = unknown extends V ? Scalar : OrNumber<Extract<Selected<V>, Scalar>>;
/** pg returns int8 as a string of digits. A filter then accepts the number as well. */
type OrNumber<S> = [string extends S ? S : Extract<S, `${number}` | `${bigint}`>] extends [never]
  ? S
  : S | number | bigint;
type IsUnion<T, U = T> = T extends U ? ([U] extends [T] ? false : true) : never;
type FilterType<Row, U, PK extends string, X extends string> = U extends 'truncated'
  ? "'truncated' concerns the whole table and cannot be filtered"
  : string extends PK
    ? Scalar | { readonly [column: string]: Scalar }
    : | (U extends 'inserted'
          ? "'inserted' cannot be filtered by id: filter by extraColumns"
          : IsUnion<PK> extends true
            ? never
            : FilterValue<Row[PK & keyof Row]>)
      | FilterColumns<Row, (U extends 'inserted' ? (IsUnion<PK> extends true ? PK : never) : PK) | X>;
type FilterColumns<Row, C extends string> = [C] extends [never]
  ? never
  : { readonly [K in C & keyof Row as FilterValue<Row[K]> extends never ? never : K]?: FilterValue<Row[K]> };

export type WatcherMap<DB, Entries extends readonly WatcherEntry[]> = {
  readonly [E in Single<Entries[number]> as Identifier<E>]: SpecOf<DB, E>;
};
/** An entry with a list of types means one entry per type. */
type Single<E> = E extends readonly [any, UpdateType, ...any]
  ? E
  : E extends readonly [infer T, readonly (infer U)[], ...infer R]
    ? SingleOf<T, U, R>
    : never;
type SingleOf<T, U, R extends readonly unknown[]> = U extends UpdateType ? readonly [table: T, type: U, ...R] : never;
type SpecOf<DB, E> = E extends readonly [infer T, infer U extends UpdateType, ...any]
  ? U extends 'truncated'
    ? WatcherSpec<U, {}, FilterType<{}, U, never, never>>
    : WatcherSpec<
        U,
        EventType<RowOf<DB, T>, KeyOf<DB, T>, Extra<OptionsOf<E>>, OptionsOf<E>>,
        FilterType<RowOf<DB, T>, U, KeyOf<DB, T>, Extra<OptionsOf<E>>>
      >
  : never;
/** The entry's own type if the entry is right, so that right entries cost little to check. Otherwise what it should be: the known names for a misspelt name, a sentence for everything else. */
export type Checked<
  DB,
  Entries extends readonly WatcherEntry[],
  C = CheckedEntries<DB, Entries, Positions<Entries>>,
> = [Entries] extends [C] ? Entries : C;
type CheckedEntries<DB, Entries extends readonly WatcherEntry[], P> = {
  readonly [I in keyof Entries]: CheckedEntry<DB, Entries[I], P, I>;
};
type Positions<Entries extends readonly WatcherEntry[]> = {
  [I in keyof Entries & `${number}` as Identifier<Single<Entries[I]>>]: I;
};
type CheckedEntry<DB, E, P, I> = E extends readonly [infer T, infer U extends UpdateType, ...any]
  ? T extends string
    ? T extends keyof DB
      ? CheckedKey<DB, T, U, E, P, I>
      : readonly [table: keyof DB & string, type: UpdateType, options?: WatcherOptions]
    : CheckedKey<DB, T, U, E, P, I>
  : E extends readonly [infer T, infer L extends readonly UpdateType[], ...any]
    ? CheckedList<DB, T, L, E, P, I>
    : WatcherEntry;
type CheckedList<DB, T, L extends readonly UpdateType[], E, P, I> = T extends string
  ? T extends keyof DB
    ? CheckedKey<DB, T, L, E, P, I>
    : readonly [table: keyof DB & string, type: readonly UpdateType[], options?: WatcherOptions]
  : CheckedKey<DB, T, L, E, P, I>;
type CheckedKey<DB, T, U, E, P, I> = [KeyOf<DB, T>] extends [never]
  ? readonly [
      table: `'${TableName<T>}' has no column 'id': name its primary key with table(…)`,
      type: U,
      options?: WatcherOptions,
    ]
  : P extends { readonly [K in Identifier<Single<E>>]: I }
    ? [OptionsOf<E>] extends [CheckedOptions<keyof RowOf<DB, T> & string, U, OptionsOf<E>>]
      ? E
      : readonly [table: T, type: U, options?: CheckedOptions<keyof RowOf<DB, T> & string, U, OptionsOf<E>>]
    : readonly [
        table: `two watchers have the name '${Identifier<Single<E>>}': give one a label`,
        type: U,
        options?: WatcherOptions,
      ];
type IfRow<U, Then, Else> = U extends readonly (infer V)[]
  ? 'truncated' extends V
    ? Else
    : Then
  : U extends 'truncated'
    ? Else
    : Then;
type Several<Option extends string> =
  `a list of types makes several watchers: give the one with ${Option} an entry of its own`;
type CheckedOptions<Column extends string, U, O> = {
  readonly label?: U extends readonly unknown[] ? Several<'a label'> : string;
  readonly extraColumns?: IfRow<U, readonly Column[], "'truncated' has no row, so no extraColumns">;
  readonly triggerColumns?: U extends readonly unknown[]
    ? Several<'triggerColumns'>
    : U extends 'updated'
      ? O extends { readonly label: string }
        ? readonly Column[]
        : 'triggerColumns needs a label'
      : `triggerColumns is for 'updated', not '${U & string}'`;
  readonly where?: IfRow<U, string, "'truncated' has no row, so no where">;
  readonly absent?: 'throw' | 'omit';
  readonly debug?: boolean;
} & { readonly [K in Exclude<keyof O, keyof WatcherOptions>]?: `unknown option '${K & string}'` };

/** Parameters that no call can satisfy. They apply only if a schema type is given in angle brackets: the error then names the second call. */
export type SecondCall<Database> = unknown extends Database
  ? [never, never, never, never]
  : ['pass the list in a second call: defineWatchers<DB>()([…])'];

/** The filter that several watchers have in common: the keys that all of their filters have. */
export type CommonFilter<Map, N extends keyof Map> = [Common<Map, N>] extends [never]
  ? 'no filter suits all of these watchers: filter by columns that each of them carries'
  : Common<Map, N>;
type Common<Map, N extends keyof Map> = CommonId<Map, N> | CommonColumns<ColumnsOf<Map, N>>;
type FilterIn<S> = S extends WatcherSpec<any, any, infer F> ? F : never;
type CommonId<Map, N extends keyof Map> = All<N extends unknown ? { of: Extract<FilterIn<Map[N]>, Scalar> } : never>;
type ColumnsOf<Map, N extends keyof Map> = N extends unknown
  ? [Exclude<FilterIn<Map[N]>, Scalar>] extends [never]
    ? {}
    : Exclude<FilterIn<Map[N]>, Scalar>
  : never;
/** `Keys` is a separate parameter: `keyof` of the union in `C` gives only the common keys. */
type CommonColumns<C, Keys extends keyof C = keyof C> = [Keys] extends [never]
  ? never
  : { readonly [K in Keys]?: All<C extends unknown ? { of: Exclude<C[K], undefined> } : never> };
/** The intersection of what a union of boxes holds. */
type All<B> = (B extends { of: infer V } ? (value: V) => void : never) extends (value: infer I) => void ? I : never;
