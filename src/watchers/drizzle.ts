/**
 * Reads a Drizzle table by its structure; drizzle is never imported.
 * https://github.com/drizzle-team/drizzle-orm/blob/main/drizzle-orm/src/table.ts (the symbols), …/column.ts (the columns)
 */
const nameSymbol = Symbol.for('drizzle:Name');
const baseNameSymbol = Symbol.for('drizzle:BaseName');
const originalNameSymbol = Symbol.for('drizzle:OriginalName');
const aliasSymbol = Symbol.for('drizzle:IsAlias');
const schemaSymbol = Symbol.for('drizzle:Schema');
const columnsSymbol = Symbol.for('drizzle:Columns');

interface DrizzleColumn {
  /** Name in the database. With `keyAsName`: the name of the property. */
  readonly name: string;
  /** The column has no explicit name: the `casing` option of drizzle() decides what it is called. */
  readonly keyAsName?: boolean;
  readonly primary: boolean;
  mapFromDriverValue(value: unknown): unknown;
}

export interface DrizzleShape {
  /** Name in the database. */
  readonly name: string;
  /** Name in types, which do not know what `pgTableCreator` adds to it. */
  readonly typedName: string;
  readonly schema: string | undefined;
  /** By property name. */
  readonly columns: Readonly<Record<string, DrizzleColumn>>;
}

/** Reads the parts of a Drizzle table that walwatch uses. Undefined: it is not a Drizzle table. */
export function readDrizzleTable(table: object): DrizzleShape | undefined {
  const symbols = table as { readonly [key: symbol]: unknown };
  const name = symbols[nameSymbol];
  const columns = symbols[columnsSymbol];
  if (typeof name !== 'string' || typeof columns !== 'object' || columns === null) return undefined;
  const schema = symbols[schemaSymbol];
  const [original = name, base = name] = [symbols[originalNameSymbol], symbols[baseNameSymbol]] as string[];
  return {
    name: original,
    typedName: symbols[aliasSymbol] === true ? name : base,
    schema: typeof schema === 'string' ? schema : undefined,
    columns: columns as Record<string, DrizzleColumn>,
  };
}

type Casing = (name: string) => string;

/**
 * The database names of columns without an explicit name. Only drizzle() knows its `casing`, so the table decides: the casing that
 * matches the most of its columns wins. An earlier decision (`before`) is kept if it matches as many columns as any other.
 */
export function casedNames(
  properties: readonly string[],
  has: (name: string) => boolean,
  before: Readonly<Record<string, string>> = {},
): readonly (readonly [property: string, name: string])[] {
  const best = bestCasings(properties, has);
  const casing = best.find((one) => properties.every((property) => one(property) === before[property])) ?? best[0];
  return properties.map((property) => [property, casing!(property)]);
}

/** The columns of the table that a property may refer to, if the names of all `properties` do not decide the casing. */
export function candidates(
  property: string,
  properties: readonly string[],
  has: (name: string) => boolean,
): readonly string[] {
  return [...new Set(bestCasings(properties, has).map((casing) => casing(property)))].filter(has);
}

/** The casings that match the most columns. Several if they match equally many. */
function bestCasings(properties: readonly string[], has: (name: string) => boolean): readonly Casing[] {
  const found = casings.map((casing) => properties.filter((property) => has(casing(property))).length);
  const most = Math.max(...found);
  return casings.filter((_, index) => found[index] === most);
}

/** https://github.com/drizzle-team/drizzle-orm/blob/main/drizzle-orm/src/casing.ts */
const casings: readonly Casing[] = [
  (name) => name,
  (name) =>
    wordsOf(name)
      .map((word) => word.toLowerCase())
      .join('_'),
  (name) =>
    wordsOf(name)
      .map((word, at) => (at === 0 ? word.toLowerCase() : word[0]!.toUpperCase() + word.slice(1)))
      .join(''),
];

const wordsOf = (name: string) =>
  name.replaceAll(/['\u2019]/g, '').match(/[\da-z]+|[A-Z]+(?![a-z])|[A-Z][\da-z]+/g) ?? [];

/**
 * Types that Drizzle's node-postgres driver leaves as text, for its columns to convert: dates, times, intervals and arrays of them.
 * https://github.com/drizzle-team/drizzle-orm/blob/main/drizzle-orm/src/node-postgres/session.ts
 */
export const drizzleTextTypes: ReadonlySet<number> = new Set([1184, 1114, 1082, 1186, 1231, 1115, 1185, 1187, 1182]);
