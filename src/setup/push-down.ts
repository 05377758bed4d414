import { quoteTable, type Server, since } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import type { Facts } from './facts.ts';
import { otherSlots, ownershipOf } from './ownership.ts';
import type { Operation } from './publication.ts';
import { columnList, type PushedDown } from './pushed-down.ts';
import { noFilter, refusedFilters } from './row-filter.ts';

interface Plan {
  readonly pushedDown: ReadonlyMap<number, PushedDown>;
  readonly issues: readonly ConfigurationIssue[];
  readonly warnings: readonly WatchError[];
}

/** Plans for each watched table what the server filters before it sends. `operations`: those that the watchers need. */
export function planPushDown(facts: Facts, operations: ReadonlySet<Operation>, options: ResolvedOptions): Plan {
  const { server, bound, publication, filters } = facts;
  const wholesale = publication !== undefined && (publication.allTables || publication.ofSchemas);
  const issues: ConfigurationIssue[] = versionIssues(bound, options, server);
  if (issues.length > 0) return { pushedDown: new Map(), issues, warnings: [] };
  const readings = [...filters.values()];
  if (wholesale) issues.push(...readings.map(({ of }) => notOfTables(of, options.publication.name)));
  issues.push(...readings.flatMap((reading) => reading.issues));
  // If the publication is not walwatch's alone, its other operations stay published.
  const ownership = ownershipOf(publication, options, server);
  const kept = facts.manage === 'verify' || ownership !== 'own' ? (publication?.operations ?? []) : [];
  const read = new Map([...filters].map(([oid, { filter }]) => [oid, filter]));
  issues.push(...refusedFilters(bound, read, new Set([...operations, ...kept])));

  const asked = { columnLists: options.publication.columnLists, wholesale };
  const tables = new Map(bound.map(({ table }) => [table.oid, table]));
  const pushedDown = new Map<number, PushedDown>();
  for (const [oid, table] of tables) {
    const own = bound.filter((one) => one.table === table);
    pushedDown.set(oid, { ...columnList(table, own, server, asked), ...(read.get(oid) ?? noFilter) });
  }
  if (issues.length === 0 && ownership === 'shared' && facts.manage === 'create')
    issues.push(...sharedFilters([...tables.values()], pushedDown, facts, options));
  return { pushedDown, issues, warnings: readings.flatMap((reading) => reading.warnings) };
}

function versionIssues(
  bound: readonly BoundWatcher[],
  options: ResolvedOptions,
  { major }: Server,
): ConfigurationIssue[] {
  if (major >= since.columnLists) return [];
  const issues: ConfigurationIssue[] = [];
  if (options.publication.columnLists) {
    issues.push({
      message: `publication.columnLists needs PostgreSQL ${since.columnLists}, the server is ${major}`,
      solution: 'Remove it: whole rows are then sent.',
    });
  }
  for (const { watcher } of bound.filter((one) => one.watcher.where !== undefined)) {
    issues.push({
      message: `${watcher.name}: where needs PostgreSQL ${since.columnLists}, the server is ${major}`,
      solution: 'Use when, the second argument of defineWatchers, which runs in this process.',
      watcher: watcher.name,
      table: watcher.table.name,
    });
  }
  return issues;
}

function notOfTables({ watcher, table }: BoundWatcher, publication: string): ConfigurationIssue {
  return {
    message: `${watcher.name}: the publication '${publication}' is for all tables or for schemas, where PostgreSQL allows no row filters`,
    solution: 'Give this watch its own publication, or use when, which runs in this process.',
    watcher: watcher.name,
    table: table.name,
  };
}

/** Other readers of the publication would get other rows than they need. So a filter is never changed if several slots share it. */
function sharedFilters(
  tables: readonly Table[],
  pushedDown: ReadonlyMap<number, PushedDown>,
  { publication, server }: Facts,
  options: ResolvedOptions,
): ConfigurationIssue[] {
  const sharedWith = otherSlots(publication, options, server);
  return tables.flatMap((table): ConfigurationIssue[] => {
    const listed = publication?.listed.find(({ oid }) => oid === table.oid);
    const wanted = pushedDown.get(table.oid)!.where;
    if (!listed || listed.where === wanted) return [];
    const filter = (where: string | undefined) => (where === undefined ? 'none' : `WHERE ${where}`);
    return [{
      message: `the publication '${options.publication.name}' is shared with the slot ${sharedWith.map((slot) => `'${slot}'`).join(', ')} and has another row filter for ${quoteTable(table)} (${filter(listed.where)} instead of ${filter(wanted)})`,
      solution: "Give this watch its own publication. If that slot is gone for good, delete its line from the publication's comment.",
      table: table.name,
    }]; // prettier-ignore
  });
}
