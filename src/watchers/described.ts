/** Compares a relation as the stream describes it with the watchers' tables. Pure. */
import { quoteTable } from '../postgres/server.ts';
import type { Relation } from '../postgres/pgoutput/messages.ts';
import type { Leaf, ReplicaIdentity, Table } from '../postgres/tables.ts';
import type { TypeCatalog } from '../postgres/types.ts';
import { WatchError } from '../errors.ts';
import { type BoundWatcher, databaseName } from './bind.ts';
import { placesOf } from './places.ts';
import { columnsOf } from './plan.ts';

export const identityNames: Readonly<Record<Relation['replicaIdentity'], ReplicaIdentity>> = {
  d: 'default',
  f: 'full',
  i: 'index',
  n: 'nothing',
};

/** Finds watchers by what a relation says about itself, without searching all of them. */
export class BoundIndex {
  readonly all: readonly BoundWatcher[];
  readonly #byOid = new Map<number, BoundWatcher[]>();
  readonly #byName = new Map<string, BoundWatcher[]>();
  /** By the OIDs of partitions that hold rows. */
  readonly #byLeaf = new Map<number, { readonly leaf: Leaf; readonly bound: BoundWatcher[] }>();

  constructor(all: readonly BoundWatcher[] = []) {
    this.all = all;
    for (const one of all) {
      const { oid, leaves } = one.table;
      listAt(this.#byOid, oid).push(one);
      listAt(this.#byName, quoteTable(one.table)).push(one);
      for (const leaf of leaves) {
        const there = this.#byLeaf.get(leaf.oid);
        if (there) there.bound.push(one);
        else this.#byLeaf.set(leaf.oid, { leaf, bound: [one] });
      }
    }
  }

  /** The watchers of a relation. By OID first, because old WAL may have an old name; then by name, because a table may have been re-created. */
  of(relation: Relation): readonly BoundWatcher[] {
    return this.#byOid.get(relation.oid) ?? this.named(relation);
  }

  named(table: Named): readonly BoundWatcher[] {
    return this.#byName.get(quoteTable(table)) ?? [];
  }

  /** A partition as it was when its root was last read. */
  leaf({ oid }: Relation): Leaf | undefined {
    return this.#byLeaf.get(oid)?.leaf;
  }

  /** The watchers that a relation can affect: those of this table, or of the root of this partition. */
  concernedBy(relation: Relation): readonly BoundWatcher[] {
    return [...this.of(relation), ...(this.#byLeaf.get(relation.oid)?.bound ?? [])];
  }
}

function listAt<K>(map: Map<K, BoundWatcher[]>, key: K): BoundWatcher[] {
  let list = map.get(key);
  if (!list) map.set(key, (list = []));
  return list;
}

interface Named {
  readonly schema: string;
  readonly name: string;
}

export function isNamed(table: Named, other: Named): boolean {
  return table.schema === other.schema && table.name === other.name;
}

/**
 * Whether a relation differs from the table in the catalog: the table was changed, or the WAL is older than its last change.
 * `sent`: the columns that the relation must have if it need not have all of them.
 */
export function isUnknown(relation: Relation, table: Table, types: TypeCatalog, sent?: ReadonlySet<string>): boolean {
  if (!isNamed(table, relation)) return true;
  if (table.kind === 'p' && identityNames[relation.replicaIdentity] !== table.replicaIdentity) return true;
  const described = new Map(relation.columns.map((column) => [column.name, column]));
  const expected = table.columns.filter(({ name, generated }) => sent?.has(name) ?? generated === undefined);
  if (expected.some(({ name }) => !described.has(name))) return true;
  const known = new Map(table.columns.map((column) => [column.name, column]));
  return relation.columns.some(
    ({ name, typeOid, key }) =>
      known.get(name)?.typeOid !== typeOid ||
      !types.knows(typeOid) ||
      (table.kind !== 'p' && key !== table.identityColumns.has(name)),
  );
}

/** Warns about columns that a change lacks because it was written before they were added to the table. */
export function columnWarnings(relation: Relation, bound: readonly BoundWatcher[], whole: boolean): WatchError[] {
  if (bound.length === 0) return [];
  const places = placesOf(relation, bound[0]!.table, whole);
  return bound.flatMap((one) => {
    const { watcher, table } = one;
    const missing = watcher.type === 'truncated' ? [] : columnsOf(one).filter((column) => !places.has(column));
    if (missing.length === 0) return [];
    const names = [...new Set(missing)].map((column) => `'${column}'`).join(', ');
    return [
      new WatchError(
        'SCHEMA_CHANGED',
        `${watcher.name}: changes of ${quoteTable(table)} that were written before it had the column ${names} lack its value. context.absent names it, and reading it throws VALUE_ABSENT unless the watcher has absent: 'omit'`,
        {
          solution:
            'Nothing if it was added later. If it had another name then, read the row by its id to get the value.',
        },
      ),
    ];
  });
}

/**
 * Warns about old values that a watcher needs and a change lacks because it was written before the table's replica identity was
 * changed. Values that the table still does not give are reported when the watchers are bound.
 */
export function identityWarnings(relation: Relation, bound: readonly BoundWatcher[]): WatchError[] {
  const carried = new Map(relation.columns.map((column) => [column.name, column.key]));
  return bound.flatMap(({ watcher, table, primaryKey }) => {
    const needed =
      watcher.type === 'deleted'
        ? [...primaryKey, ...watcher.extraColumns]
        : watcher.type === 'updated'
          ? watcher.triggerColumns
          : [];
    // The relation does not have the column: it was added later or dropped, so no replica identity would give it.
    const missing = needed
      .map((column) => databaseName(watcher.table, column))
      .filter((column) => carried.get(column) === false && table.identityColumns.has(column));
    if (missing.length === 0) return [];
    const what =
      watcher.type === 'updated'
        ? 'these updates are delivered whether or not the value changed'
        : 'reading it throws VALUE_ABSENT';
    return [
      new WatchError(
        'REPLICA_IDENTITY',
        `${watcher.name}: changes of ${quoteTable(relation)} that were written before its replica identity was changed lack the old value of ${missing.join(', ')}; ${what}`,
        { solution: 'Nothing: the table has the right replica identity now, and later changes have the value.' },
      ),
    ];
  });
}
