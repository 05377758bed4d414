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

/** What the server can do before it sends, for each table of the watchers. `operations`: what the watchers need to be published. */
export function planPushDown(facts: Facts, operations: ReadonlySet<Operation>, options: ResolvedOptions): Plan {
  const { server, bound, publication, filters } = facts;
  const wholesale = publication !== undefined && (publication.allTables || publication.ofSchemas);
  const issues: ConfigurationIssue[] = versionIssues(bound, options, server);
  if (issues.length > 0) return { pushedDown: new Map(), issues, warnings: [] };
  const readings = [...filters.values()];
  if (wholesale) issues.push(...readings.map(({ of }) => notOfTables(of, options.publication.name)));
  issues.push(...readings.flatMap((reading) => reading.issues));
  // What is published besides stays published, if the publication is not ours alone.
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
      solution: 'Leave it out: whole rows are sent then.',
    });
  }
  for (const { watcher } of bound.filter((one) => one.watcher.where !== undefined)) {
    issues.push({
      message: `${watcher.name}: where needs PostgreSQL ${since.columnLists}, the server is ${major}`,
      solution: 'Use when, the second argument of defineWatchers, which is run in this process.',
      watcher: watcher.name,
      table: watcher.table.name,
    });
  }
  return issues;
}

function notOfTables({ watcher, table }: BoundWatcher, publication: string): ConfigurationIssue {
  return {
    message: `${watcher.name}: the publication '${publication}' is for all tables or for schemas, where PostgreSQL has no row filters`,
    solution: 'Give this watch a publication of its own, or use when, which is run in this process.',
    watcher: watcher.name,
    table: table.name,
  };
}

/** Whoever else reads the publication would get other rows than it wants: a filter is never changed for two. */
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
      message: `the publication '${options.publication.name}' is shared with the slot ${sharedWith.map((slot) => `'${slot}'`).join(', ')}, and its row filter of ${quoteTable(table)} is another one (${filter(listed.where)}, not ${filter(wanted)})`,
      solution: 'Give this watch a publication of its own. If that slot is gone for good, take its line out of the comment of the publication.',
      table: table.name,
    }]; // prettier-ignore
  });
}
