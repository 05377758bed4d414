/**
 * Reads a Drizzle table by its shape alone: drizzle is never imported.
 * https://github.com/drizzle-team/drizzle-orm/blob/main/drizzle-orm/src/table.ts (the symbols), …/column.ts (the columns)
 */
const nameSymbol = Symbol.for('drizzle:Name');
const schemaSymbol = Symbol.for('drizzle:Schema');
const columnsSymbol = Symbol.for('drizzle:Columns');

interface DrizzleColumn {
  /** Name in the database. */
  readonly name: string;
  readonly primary: boolean;
  mapFromDriverValue(value: unknown): unknown;
}

export interface DrizzleShape {
  readonly name: string;
  readonly schema: string | undefined;
  /** By property name. */
  readonly columns: Readonly<Record<string, DrizzleColumn>>;
}

/** The parts of a Drizzle table that are used, or undefined when it is none. */
export function readDrizzleTable(table: object): DrizzleShape | undefined {
  const symbols = table as { readonly [key: symbol]: unknown };
  const name = symbols[nameSymbol];
  const columns = symbols[columnsSymbol];
  if (typeof name !== 'string' || typeof columns !== 'object' || columns === null) return undefined;
  const schema = symbols[schemaSymbol];
  return {
    name,
    schema: typeof schema === 'string' ? schema : undefined,
    columns: columns as Record<string, DrizzleColumn>,
  };
}

/**
 * Types that Drizzle's node-postgres driver leaves as text for its columns to map: dates, times, intervals and arrays of them.
 * https://github.com/drizzle-team/drizzle-orm/blob/main/drizzle-orm/src/node-postgres/session.ts
 */
export const drizzleTextTypes: ReadonlySet<number> = new Set([1184, 1114, 1082, 1186, 1231, 1115, 1185, 1187, 1182]);
