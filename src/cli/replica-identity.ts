/** Chooses the replica identities that setup sets. */
import type { Server } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';
import type { ConfigurationIssue } from '../errors.ts';
import { alterIdentity, bindWatchers } from '../watchers/bind.ts';
import type { Watcher } from '../watchers/validate.ts';

export interface IdentityChange {
  readonly table: Table;
  /** The table after the change. */
  readonly altered: Table;
  readonly to: 'default' | 'full';
  readonly statement: string;
}

/**
 * Finds for each table the smallest identity that all its watchers can use. `unsolved`: no identity suffices. `filtered`: by
 * table, the columns of row filters that the identity must contain.
 */
export function identityChanges(
  watchers: readonly Watcher[],
  tables: readonly Table[],
  server: Pick<Server, 'major'>,
  filtered: ReadonlyMap<number, readonly string[]> = new Map(),
): { changes: IdentityChange[]; unsolved: ConfigurationIssue[] } {
  const changes: IdentityChange[] = [];
  const unsolved: ConfigurationIssue[] = [];
  for (const table of tables) {
    const names = watchers
      .filter((watcher) => watcher.table.schema === table.schema && watcher.table.name === table.name)
      .map(({ name }) => name);
    const lacking = (candidate: Table) =>
      bindWatchers(
        watchers,
        tables.map((one) => (one === table ? candidate : one)),
        server,
      ).identity.filter(({ watcher }) => watcher !== undefined && names.includes(watcher));
    const suffices = (candidate: Table) =>
      lacking(candidate).length === 0 &&
      (filtered.get(table.oid) ?? []).every((column) => candidate.identityColumns.has(column));
    if (suffices(table)) continue;
    const to = (['default', 'full'] as const).find((identity) => suffices(withIdentity(table, identity)));
    if (to) changes.push({ table, altered: withIdentity(table, to), to, statement: alterIdentity(table, to) });
    else unsolved.push(...lacking(table));
  }
  return { changes, unsolved };
}

/** The table after the change. */
function withIdentity(table: Table, identity: 'default' | 'full'): Table {
  const key = table.primaryKey ?? [];
  // PostgreSQL does not use a deferrable key.
  const immediate = table.uniqueKeys.some((unique) => unique.join('\0') === key.join('\0'));
  const all = table.columns.map(({ name }) => name);
  const columns = new Set(identity === 'full' ? all : immediate ? key : []);
  return {
    ...table,
    replicaIdentity: identity,
    leaves: table.leaves.map((leaf) => ({ ...leaf, replicaIdentity: identity })),
    identityColumns: columns,
    identityUnion: columns,
  };
}
