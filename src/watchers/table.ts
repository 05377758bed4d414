import { ConfigurationError } from '../errors.ts';
import { type DrizzleShape, readDrizzleTable } from './drizzle.ts';
import type { SchemaOf } from '../types/inference.ts';
import type { DrizzleTable, TableDefinition } from '../types/watchers.ts';

/** A table as an entry names it, before the database was asked. Columns are by their names in code. */
export interface TableReference {
  readonly schema: string;
  readonly name: string;
  /** Undefined: the table's own primary key, which only the database knows. */
  readonly primaryKey: readonly string[] | undefined;
  /** Name in code → name in the database. */
  readonly columnMap: Readonly<Record<string, string>>;
  /** Known for a Drizzle table: all its columns, and how their values are mapped. */
  readonly drizzle: DrizzleShape | undefined;
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
 * Names the key of a Drizzle table whose types do not show it, i.e. a composite `primaryKey()`.
 *
 * @example
 * ```ts
 * const keyed = table(stock)({ primaryKey: ['partId', 'place'] });
 * ```
 */
export function table<T extends DrizzleTable>(
  drizzleTable: T,
): <const PK extends keyof T['$inferSelect'] & string>(key: {
  readonly primaryKey: PK | readonly PK[];
}) => TableDefinition<T['_']['name'], SchemaOf<T>, PK, T['$inferSelect']>;
export function table(drizzleTable?: object): (definition: any) => TableDefinition {
  if (drizzleTable === undefined) return (definition: TableDefinition) => ({ ...definition });
  const shape = isObject(drizzleTable) ? readDrizzleTable(drizzleTable) : undefined;
  if (shape === undefined) {
    throw new ConfigurationError([
      {
        message: 'table(…) was given something that is not a Drizzle table',
        solution: "Without Drizzle: table<Row>()({ tableName: 'users', primaryKey: 'id' }).",
      },
    ]);
  }
  return (key: Pick<TableDefinition, 'primaryKey'> | null | undefined) =>
    ({
      tableName: shape.name,
      schema: shape.schema ?? 'public',
      primaryKey: key?.primaryKey, // a missing one is told with the entry
      [drizzleSource]: shape,
    }) as TableDefinition;
}

/** Reads the first element of an entry. Returns a string that says what is wrong with it. */
export function referTo(given: unknown): TableReference | string {
  if (typeof given === 'string') return parseName(given);
  if (!isObject(given)) {
    return 'a table is a name, what table() returned, or a Drizzle table';
  }
  const shape = readDrizzleTable(given);
  if (shape) {
    const key = Object.keys(shape.columns).filter((property) => shape.columns[property]!.primary);
    if (key.length === 0)
      return `the Drizzle table '${shape.name}' marks no primary key: name it with table(${shape.name})({ primaryKey: […] })`;
    return fromDrizzle(shape, key);
  }
  return fromDefinition(given as Partial<TableDefinition> & { [drizzleSource]?: DrizzleShape });
}

function parseName(given: string): TableReference | string {
  const dot = given.indexOf('.');
  const schema = dot === -1 ? 'public' : given.slice(0, dot);
  const name = given.slice(dot + 1);
  if (schema === '' || name === '') return `${JSON.stringify(given)} is no table name: 'table' or 'schema.table'`;
  return { schema, name, primaryKey: undefined, columnMap: {}, drizzle: undefined };
}

function fromDrizzle(shape: DrizzleShape, primaryKey: readonly string[]): TableReference {
  const columnMap = Object.fromEntries(
    Object.entries(shape.columns).map(([property, column]) => [property, column.name]),
  );
  return { schema: shape.schema ?? 'public', name: shape.name, primaryKey, columnMap, drizzle: shape };
}

function fromDefinition(
  definition: Partial<TableDefinition> & { [drizzleSource]?: DrizzleShape },
): TableReference | string {
  const { tableName, schema = 'public', primaryKey, columnMap = {} } = definition;
  if (typeof tableName !== 'string' || tableName === '')
    return "table()({ tableName }) is missing: table()({ tableName: 'users', primaryKey: 'id' })";
  if (typeof schema !== 'string' || schema === '') return `schema of table '${tableName}' is not a name`;
  const key: readonly unknown[] = Array.isArray(primaryKey) ? primaryKey : [primaryKey];
  if (key.length === 0 || !key.every((column) => typeof column === 'string')) {
    return `primaryKey of table '${tableName}' is missing: a column's name, or a list of them`;
  }
  if (!isObject(columnMap) || !Object.values(columnMap).every((name) => name === undefined || typeof name === 'string'))
    return `columnMap of table '${tableName}' is none: { nameInCode: 'name in the database' }`;
  const shape = definition[drizzleSource];
  if (shape) return fromDrizzle(shape, key as string[]);
  return { schema, name: tableName, primaryKey: [...new Set(key as string[])], columnMap, drizzle: undefined };
}

function isObject(given: unknown): given is object {
  return typeof given === 'object' && given !== null;
}
