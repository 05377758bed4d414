import { shown, throwIssues } from '../errors.ts';
import { refuseUnknownKeys } from '../option-names.ts';
import { casedNames, type DrizzleShape, readDrizzleTable } from './drizzle.ts';
import type { Names } from './naming.ts';
import type { DrizzleKey, SchemaOf } from '../types/inference.ts';
import type { DrizzleTable, TableDefinition } from '../types/watchers.ts';

/** The table of an entry, before the database was read. Columns have their names in code. */
export interface TableReference {
  readonly schema: string;
  readonly name: string;
  /** Its name in identifiers, if that is neither the name nor `schema.name`. */
  readonly calledInCode?: string;
  /** Undefined: the table's own primary key, to be read from the database. */
  readonly primaryKey: readonly string[] | undefined;
  /** Name in code → name in the database. */
  readonly columnMap: Readonly<Record<string, string>>;
  /** Translates names that are not in `columnMap`. */
  readonly names?: Names;
  /** For a Drizzle table: all its columns with their converters, and which of them have no explicit name. */
  readonly drizzle: { readonly columns: DrizzleShape['columns']; readonly unnamed: readonly string[] } | undefined;
}

/** A global symbol, because table() and createWatch() may come from different copies of the package. */
const drizzleSource = Symbol.for('walwatch:drizzle');

/**
 * Describes a table that the schema type does not describe, or whose primary key is not `id`.
 *
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
 * Adds to a Drizzle table what its types do not show: a composite `primaryKey()`, or columns that have other names in the database
 * than in Drizzle.
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
  /** Default: the column that is marked as the primary key in Drizzle. */
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
        message: `table(…) expects a Drizzle table, not ${shown(drizzleTable)}`,
        solution: "Without Drizzle: table<Row>()({ tableName: 'users', primaryKey: 'id' }).",
      },
    ]);
  }
  return (definition: Partial<TableDefinition> | null | undefined) => {
    refuseUnknownKeys(definition, ['primaryKey', 'columnMap'], 'option of table() for a Drizzle table');
    const { typedName: tableName, schema = 'public' } = shape!;
    const { primaryKey, columnMap } = definition ?? {}; // a missing key is reported with the entry
    return { tableName, schema, primaryKey, columnMap, [drizzleSource]: shape } as unknown as TableDefinition;
  };
}

/** Reads the first element of an entry. Returns a string with the problem if it is invalid. */
export function referTo(given: unknown, names?: Names): TableReference | string {
  if (typeof given === 'string') return parseName(given, names);
  if (!isObject(given)) {
    return `a table must be a name, the result of table(), or a Drizzle table, not ${shown(given)}`;
  }
  const shape = readDrizzleTable(given);
  if (shape) return fromDrizzle(shape, undefined, {});
  return fromDefinition(given as Partial<TableDefinition> & { [drizzleSource]?: DrizzleShape }, names);
}

function parseName(given: string, names: Names | undefined): TableReference | string {
  const dot = given.indexOf('.');
  const schema = dot === -1 ? 'public' : given.slice(0, dot);
  const name = given.slice(dot + 1);
  if (schema === '' || name === '')
    return `invalid table name ${JSON.stringify(given)}: expected 'table' or 'schema.table'`;
  return { ...named(schema, name, names), primaryKey: undefined, columnMap: {}, drizzle: undefined };
}

/** A table, given by its names in code. */
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
    return `the Drizzle table '${name}' has no primary key: name it with table(${typedName})({ primaryKey: […] })`;
  const given = Object.entries(columns).map(([property, column]) => [property, column.name] as const);
  const columnMap = { ...Object.fromEntries(given), ...own };
  const unnamed = Object.keys(columns).filter((property) => columns[property]!.keyAsName && !own[property]);
  const reference = { schema, name, primaryKey: [...new Set(primaryKey)], columnMap, drizzle: { columns, unnamed } };
  return name === typedName ? reference : { ...reference, calledInCode: identified(schema, typedName) };
}

/**
 * The reference once the table's columns are known (`has`): they decide about names that Drizzle leaves open. `before`: the
 * `columnMap` of an earlier decision.
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
  if (typeof schema !== 'string' || schema === '')
    return `schema of table '${tableName}' must be a name, not ${shown(schema)}`;
  const key: readonly unknown[] = Array.isArray(primaryKey) ? primaryKey : [primaryKey];
  const marked = shape !== undefined && primaryKey === undefined;
  if (!marked && (key.length === 0 || !key.every((column) => typeof column === 'string'))) {
    return `primaryKey of table '${tableName}' must be a column's name or a list of names, not ${shown(primaryKey)}`;
  }
  if (!isObject(given) || !Object.values(given).every((name) => name === undefined || typeof name === 'string'))
    return `columnMap of table '${tableName}' must be { nameInCode: 'name in the database' }, not ${shown(given)}`;
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
