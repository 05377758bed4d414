import type { Column, ReplicaIdentity, Table } from '../../src/postgres/tables.ts';
import { TypeCatalog } from '../../src/postgres/types.ts';
import { throwIssues } from '../../src/errors.ts';
import type { Relation } from '../../src/postgres/pgoutput/messages.ts';
import { type BoundWatcher, bindWatchers } from '../../src/watchers/bind.ts';
import { planRelation, type RelationPlan } from '../../src/watchers/plan.ts';
import type { WatcherEntry, Watchers } from '../../src/types/watchers.ts';
import { checkEntries, type Watcher } from '../../src/watchers/validate.ts';

/** pg_type.dat */
export const oids = { bool: 16, int4: 23, text: 25, bpchar: 1042, numeric: 1700, uuid: 2950, timestamptz: 1184 };

export function column(name: string, typeOid = oids.text, more: Partial<Column> = {}): Column {
  return { name, number: 0, typeOid, notNull: false, generated: undefined, toastable: false, ...more };
}

const columns = [
  column('id', oids.int4, { notNull: true, number: 1 }),
  column('email', oids.text, { notNull: true, number: 2 }),
  column('role_id', oids.int4, { number: 3 }),
  column('bio', oids.text, { toastable: true, number: 4 }),
];

/** `users (id int primary key, email text not null, role_id int, bio text)`, as in the catalog. */
export function usersTable({ replicaIdentity = 'default', ...more }: Partial<Table> = {}): Table {
  const table = {
    oid: 16_400, schema: 'public', name: 'users', kind: 'r', persistence: 'p', ancestors: [], columns,
    primaryKey: ['id'], leaves: [], withoutIdentity: [], uniqueKeys: [['id']], deferrableKeys: [], replicaIdentity, ...more,
  }; // prettier-ignore
  const covered: Record<ReplicaIdentity, readonly string[]> = {
    default: table.primaryKey ?? [],
    full: table.columns.map(({ name }) => name),
    index: ['id', 'email'],
    nothing: [],
  };
  const identityColumns = new Set(covered[replicaIdentity]);
  const lastNumber = Math.max(...table.columns.map(({ number }) => number));
  return { identityColumns, identityUnion: more.identityColumns ?? identityColumns, lastNumber, ...table };
}

/** The table as the stream describes it. */
export function relationOf({ oid, schema, name, replicaIdentity, columns: all, identityColumns }: Table): Relation {
  const described = all.map((one) => ({ name: one.name, typeOid: one.typeOid, key: identityColumns.has(one.name) }));
  return { oid, schema, name, replicaIdentity: replicaIdentity[0] as Relation['replicaIdentity'], columns: described };
}

/** Checked watchers. @throws ConfigurationError */
export function watchersFor(...entries: readonly WatcherEntry[]): Watcher[] {
  const { watchers, issues } = checkEntries(entries);
  throwIssues(issues);
  return watchers;
}

/** Watchers of one table, bound to it. @throws ConfigurationError */
export function boundTo(table: Table, ...entries: readonly WatcherEntry[]): BoundWatcher[] {
  return boundWhen(undefined, table, ...entries);
}

/** The same with conditions. */
export function boundWhen(when: Watchers['when'], table: Table, ...entries: readonly WatcherEntry[]): BoundWatcher[] {
  const { bound, issues, identity } = bindWatchers(checkEntries(entries, when).watchers, [table], { major: 17 });
  throwIssues([...issues, ...identity]);
  return bound;
}

export function planFor(table: Table, ...entries: readonly WatcherEntry[]): RelationPlan {
  return planRelation(relationOf(table), boundTo(table, ...entries), new TypeCatalog(undefined))!;
}
