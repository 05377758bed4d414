import pg from 'pg';
import type { Parser, TypeCatalog } from '../postgres/types.ts';
import { WatchError } from '../errors.ts';
import type { Projection, Relation, Tuple, TupleValue } from '../postgres/pgoutput/messages.ts';
import { oversizedBytes } from '../postgres/pgoutput/oversized.ts';
import { type BoundWatcher, databaseName } from './bind.ts';
import { drizzleTextTypes } from './drizzle.ts';
import { type ParsedColumn, parsedColumns } from './parsed.ts';
import { placesOf } from './places.ts';
import type { UpdateType } from '../types/watchers.ts';

/** A column of an event, and the place of its value in a tuple. */
export interface PlannedColumn {
  /** Name in code. */
  readonly name: string;
  /** Index in the tuples of the relation. -1: they do not have the column. */
  readonly slot: number;
  /** Part of the replica identity (of all partitions, for a partitioned table): without an old tuple, it did not change. */
  readonly key: boolean;
  /** The type's OID; for a domain, that of its base type. */
  readonly typeOid: number;
  readonly parse: Parser;
}

/** What one watcher needs when a relation changes. */
export interface PlannedWatcher {
  readonly bound: BoundWatcher;
  /** Primary key and extra columns. */
  readonly columns: readonly PlannedColumn[];
  readonly primaryKey: readonly PlannedColumn[];
  readonly triggers: readonly PlannedColumn[];
  /** Watchers with the same number make equal events from a change. Undefined: no other watcher does. */
  readonly layout?: number;
}

/** What all watchers of a relation need when it changes, and which columns are decoded for that. */
export interface RelationPlan extends Projection {
  readonly relation: Relation;
  readonly watchers: Readonly<Record<UpdateType, readonly PlannedWatcher[]>>;
  /** Columns whose parsed values take memory in addition to their text. */
  readonly parsed: readonly ParsedColumn[];
}

/** Makes the plan of a relation. Undefined: no watcher needs it. `whole`: all columns are sent. */
export function planRelation(
  relation: Relation,
  bound: readonly BoundWatcher[],
  types: TypeCatalog,
  whole = true,
): RelationPlan | undefined {
  if (bound.length === 0) return undefined;
  const places = placesOf(relation, bound[0]!.table, whole);
  const needed = new Set(bound.flatMap(columnsOf).map((name) => places.get(name)));
  const wanted = relation.columns.flatMap((_, index) => (needed.has(index) ? [index] : []));
  const unsure = unsureColumns(relation, bound[0]!);
  const planned = withLayouts(bound.map((one) => planWatcher(one, relation, places, { wanted, unsure }, types)));
  const of = (type: UpdateType) => planned.filter((one) => one.bound.watcher.type === type);
  const columns = planned.flatMap((one) => one.columns);
  return {
    relation,
    wanted,
    unsure,
    parsed: parsedColumns(columns, types),
    watchers: { inserted: of('inserted'), updated: of('updated'), deleted: of('deleted'), truncated: of('truncated') },
  };
}

/** Numbers the watchers that make equal events: from the same columns, with the same names and parsers. */
function withLayouts(planned: readonly PlannedWatcher[]): readonly PlannedWatcher[] {
  const numberOf = numbering();
  const layouts = planned.map(({ bound: { watcher }, columns }) => {
    const names = columns.map(({ name }) => [name, databaseName(watcher.table, name)]);
    return numberOf(JSON.stringify([numberOf(watcher.table.drizzle?.columns), watcher.type, names]));
  });
  const seen = new Set<number>();
  const common = new Set(layouts.filter((layout) => seen.size === seen.add(layout).size));
  return planned.map((one, index) => {
    const layout = layouts[index]!;
    return common.has(layout) ? { ...one, layout } : one;
  });
}

/** Gives equal values the same number. */
function numbering(): (value: unknown) => number {
  const numbers = new Map<unknown, number>();
  return (value) => numbers.get(value) ?? numbers.set(value, numbers.size).size - 1;
}

/** Columns that some partition may not send in an old row, although the replica identity of the root promises them. */
function unsureColumns(relation: Relation, { table }: BoundWatcher): ReadonlySet<number> | undefined {
  if (table.leaves.length === 0) return undefined;
  const unsure = relation.columns.flatMap(({ name }, index) => (table.identityColumns.has(name) ? [] : [index]));
  return unsure.length === 0 ? undefined : new Set(unsure);
}

/** The columns of its table that a watcher needs, with their names in the database. */
export function columnsOf({ watcher, primaryKey }: BoundWatcher): string[] {
  const needed = [...primaryKey, ...watcher.extraColumns, ...watcher.triggerColumns];
  return needed.map((column) => databaseName(watcher.table, column));
}

function planWatcher(
  bound: BoundWatcher,
  relation: Relation,
  places: ReadonlyMap<string, number>,
  { wanted, unsure }: Projection,
  types: TypeCatalog,
): PlannedWatcher {
  const { watcher, primaryKey } = bound;
  const plan = (name: string): PlannedColumn => {
    const index = places.get(databaseName(watcher.table, name)) ?? -1;
    const column = relation.columns[index];
    const typeOid = column ? types.baseType(column.typeOid) : 0;
    return {
      name,
      slot: column ? wanted.indexOf(index) : -1,
      key: (column?.key ?? false) && !unsure?.has(index),
      typeOid,
      parse: columnParser(bound, name, typeOid, types),
    };
  };
  const columns = new Map([...new Set([...primaryKey, ...watcher.extraColumns])].map((name) => [name, plan(name)]));
  return {
    bound,
    columns: watcher.type === 'truncated' ? [] : [...columns.values()],
    primaryKey: primaryKey.map((name) => columns.get(name)!),
    triggers: watcher.triggerColumns.map((name) => columns.get(name) ?? plan(name)),
  };
}

/** json, jsonb, and arrays of them. */
const jsonTypes = new Set<number>([114, 3802, 199, 3807]);

/** The parser that makes a column's value from its text. */
export function columnParser(bound: BoundWatcher, name: string, typeOid: number, types: TypeCatalog): Parser {
  return named(bound, name, parserFor(bound, name, typeOid, types));
}

function parserFor({ watcher }: BoundWatcher, name: string, typeOid: number, types: TypeCatalog): Parser {
  const { drizzle, names } = watcher.table;
  const column = drizzle?.columns[name];
  if (!column) {
    const parse = types.parser(typeOid);
    return names && jsonTypes.has(typeOid) ? (text) => names.value(parse(text)) : parse;
  }
  // The same as Drizzle's driver: pg's parsers, but text for dates and times. Then the column converts it.
  const parse = drizzleTextTypes.has(typeOid)
    ? (text: string) => text
    : (pg.types.getTypeParser(typeOid, 'text') as Parser);
  return (text) => column.mapFromDriverValue(parse(text));
}

/** An error that the application's own parser throws must be recognizable as such. */
function named({ watcher, table }: BoundWatcher, column: string, parse: Parser): Parser {
  return (text) => {
    try {
      return parse(text);
    } catch (cause) {
      throw new WatchError('CONFIGURATION', `${watcher.name}: the type parser of '${column}' threw: ${String(cause)}`, {
        solution: `Fix the parser that is configured for the type of ${table.schema}.${table.name}.${column}. The change was not acknowledged.`,
        cause,
      });
    }
  };
}

/** A column's text after the change. Undefined: PostgreSQL did not send it. */
export function currentText(column: PlannedColumn, row: Tuple, old: Tuple | undefined): TupleValue {
  const { slot } = column;
  const text = row[slot];
  if (text !== undefined || old === undefined || oversizedBytes(row, slot) !== undefined) return text;
  return old[slot]; // unchanged TOAST: the old row has it
}

/** A column's text before an update. Undefined: unknown. */
export function previousText(column: PlannedColumn, row: Tuple, old: Tuple | undefined): TupleValue {
  if (old !== undefined) return old[column.slot];
  return column.key ? row[column.slot] : undefined; // no old row: the replica identity did not change
}

/** Whether an update changed one of the trigger columns, or may have changed one. */
export function isTriggered(planned: PlannedWatcher, row: Tuple, old: Tuple | undefined): boolean {
  const { triggers } = planned;
  if (triggers.length === 0) return true;
  return triggers.some((column) => {
    const before = previousText(column, row, old);
    // The start checked that it is sent, so the replica identity was changed since. Deliver the event rather than lose it.
    return before === undefined ? !(old === undefined && column.key) : currentText(column, row, old) !== before;
  });
}
