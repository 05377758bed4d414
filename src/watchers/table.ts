import { throwIssues } from '../errors.ts';
import { refuseUnknownKeys } from '../option-names.ts';
import { casedNames, type DrizzleShape, readDrizzleTable } from './drizzle.ts';
import type { Names } from './naming.ts';
import type { DrizzleKey, SchemaOf } from '../types/inference.ts';
import type { DrizzleTable, TableDefinition } from '../types/watchers.ts';

/** A table as an entry names it, before the database was asked. Columns are by their names in code. */
export interface TableReference {
  readonly schema: string;
  readonly name: string;
  /** What identifiers call it, if that is neither the name nor `schema.name`. */
  readonly calledInCode?: string;
  /** Undefined: the table's own primary key, which only the database knows. */
  readonly primaryKey: readonly string[] | undefined;
  /** Name in code → name in the database. */
  readonly columnMap: Readonly<Record<string, string>>;
  /** For columns that are not in `columnMap`. */
  readonly names?: Names;
  /** Known for a Drizzle table: all its columns, how their values are mapped, and which of them were given no name. */
  readonly drizzle: { readonly columns: DrizzleShape['columns']; readonly unnamed: readonly string[] } | undefined;
}

/** The same in all copies of the package: table() and createWatch() may be of different ones. */
const drizzleSource = Symbol.for('walwatch:drizzle');

/**
 * Describes a table by hand.
 *
 * @example
 * ```ts
 * const lines = table<Line>()({ tableName: 'Order Lines', schema: 'erp', primaryKey: ['order_id', 'line'] });
 * ```
 */
export function table<Row = Record<string, unknown>>(): <
  const Name extends string,
  const PK extends keyof Row & string,
  const Schema extends string = 'public',
>(definition: {
  readonly tableName: Name;
  readonly schema?: Schema;
  readonly primaryKey: PK | readonly PK[];
  readonly columnMap?: { readonly [C in keyof Row & string]?: string };
}) => TableDefinition<Name, NoInfer<Schema>, PK, Row>;
/**
 * Names the key of a Drizzle table whose types do not show it, i.e. a composite `primaryKey()`, or columns that the database
 * calls otherwise than Drizzle does.
 *
 * @example
 * ```ts
 * const keyed = table(stock)({ primaryKey: ['partId', 'place'] });
 * ```
 */
export function table<T extends DrizzleTable>(
  drizzleTable: T,
): <
  const PK extends keyof T['$inferSelect'] & string = DrizzleKey<T['_']['columns']> & keyof T['$inferSelect'],
>(definition: {
  /** Default: the column that Drizzle marks. */
  readonly primaryKey?: PK | readonly PK[];
  readonly columnMap?: { readonly [C in keyof T['$inferSelect'] & string]?: string };
}) => TableDefinition<T['_']['name'], SchemaOf<T>, PK, T['$inferSelect']>;
export function table(drizzleTable?: object): (definition: any) => TableDefinition {
  if (drizzleTable === undefined)
    return (definition: TableDefinition) => {
      refuseUnknownKeys(definition, ['tableName', 'schema', 'primaryKey', 'columnMap'], 'option of table()');
      return { ...definition };
    };
  const shape = isObject(drizzleTable) ? readDrizzleTable(drizzleTable) : undefined;
  if (shape === undefined) {
    throwIssues([
      {
        message: 'table(…) was given something that is not a Drizzle table',
        solution: "Without Drizzle: table<Row>()({ tableName: 'users', primaryKey: 'id' }).",
      },
    ]);
  }
  return (definition: Partial<TableDefinition> | null | undefined) => {
    refuseUnknownKeys(definition, ['primaryKey', 'columnMap'], 'option of table() for a Drizzle table');
    const { typedName: tableName, schema = 'public' } = shape!;
    const { primaryKey, columnMap } = definition ?? {}; // a missing key is told with the entry
    return { tableName, schema, primaryKey, columnMap, [drizzleSource]: shape } as unknown as TableDefinition;
  };
}

/** Reads the first element of an entry. Returns a string that says what is wrong with it. */
export function referTo(given: unknown, names?: Names): TableReference | string {
  if (typeof given === 'string') return parseName(given, names);
  if (!isObject(given)) {
    return 'a table is a name, what table() returned, or a Drizzle table';
  }
  const shape = readDrizzleTable(given);
  if (shape) return fromDrizzle(shape, undefined, {});
  return fromDefinition(given as Partial<TableDefinition> & { [drizzleSource]?: DrizzleShape }, names);
}

function parseName(given: string, names: Names | undefined): TableReference | string {
  const dot = given.indexOf('.');
  const schema = dot === -1 ? 'public' : given.slice(0, dot);
  const name = given.slice(dot + 1);
  if (schema === '' || name === '') return `${JSON.stringify(given)} is no table name: 'table' or 'schema.table'`;
  return { ...named(schema, name, names), primaryKey: undefined, columnMap: {}, drizzle: undefined };
}

/** A table by its names in code. */
function named(schema: string, name: string, names: Names | undefined) {
  if (!names) return { schema, name };
  return {
    schema: schema === 'public' ? schema : names.toDatabase(schema),
    name: names.toDatabase(name),
    calledInCode: identified(schema, name),
    names,
  };
}

function fromDrizzle(
  shape: DrizzleShape,
  key: readonly string[] | undefined,
  own: Readonly<Record<string, string>>,
): TableReference | string {
  const { name, typedName, schema = 'public', columns } = shape;
  const marked = Object.keys(columns).filter((property) => columns[property]!.primary);
  const primaryKey = key ?? marked;
  if (primaryKey.length === 0)
    return `the Drizzle table '${name}' marks no primary key: name it with table(${typedName})({ primaryKey: […] })`;
  const given = Object.entries(columns).map(([property, column]) => [property, column.name] as const);
  const columnMap = { ...Object.fromEntries(given), ...own };
  const unnamed = Object.keys(columns).filter((property) => columns[property]!.keyAsName && !own[property]);
  const reference = { schema, name, primaryKey: [...new Set(primaryKey)], columnMap, drizzle: { columns, unnamed } };
  return name === typedName ? reference : { ...reference, calledInCode: identified(schema, typedName) };
}

/**
 * The same, once it is known which columns the table `has`: they decide about names that Drizzle leaves open. `before`: the
 * `columnMap` that was decided then.
 */
export function settled(
  reference: TableReference,
  has: (name: string) => boolean,
  before?: Readonly<Record<string, string>>,
): TableReference {
  const { drizzle, columnMap } = reference;
  const names = casedNames(drizzle?.unnamed ?? [], has, before);
  if (names.every(([property, name]) => columnMap[property] === name)) return reference;
  return { ...reference, columnMap: { ...columnMap, ...Object.fromEntries(names) } };
}

function fromDefinition(
  definition: Partial<TableDefinition> & { [drizzleSource]?: DrizzleShape },
  names: Names | undefined,
): TableReference | string {
  const { tableName, schema = 'public', primaryKey, columnMap: given = {} } = definition;
  const shape = definition[drizzleSource];
  if (typeof tableName !== 'string' || tableName === '')
    return "table()({ tableName }) is missing: table()({ tableName: 'users', primaryKey: 'id' })";
  if (typeof schema !== 'string' || schema === '') return `schema of table '${tableName}' is not a name`;
  const key: readonly unknown[] = Array.isArray(primaryKey) ? primaryKey : [primaryKey];
  const marked = shape !== undefined && primaryKey === undefined;
  if (!marked && (key.length === 0 || !key.every((column) => typeof column === 'string'))) {
    return `primaryKey of table '${tableName}' is missing: a column's name, or a list of them`;
  }
  if (!isObject(given) || !Object.values(given).every((name) => name === undefined || typeof name === 'string'))
    return `columnMap of table '${tableName}' is none: { nameInCode: 'name in the database' }`;
  const columnMap = Object.fromEntries(Object.entries(given).filter(([, name]) => (name as unknown) !== undefined));
  if (shape) return fromDrizzle(shape, marked ? undefined : (key as string[]), columnMap);
  const primary = [...new Set(key as string[])];
  return { ...named(schema, tableName, names), primaryKey: primary, columnMap, drizzle: undefined };
}

/** `table`, or `schema.table` outside `public`. */
export function identified(schema: string, name: string): string {
  return schema === 'public' ? name : `${schema}.${name}`;
}

function isObject(given: unknown): given is object {
  return typeof given === 'object' && given !== null;
}
