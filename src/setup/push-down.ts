import type { Client } from 'pg';
import { quoteTable, type Server, since } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import type { Operation, Publication } from './publication.ts';
import { columnList, type PushedDown } from './pushed-down.ts';
import { noFilter, readRowFilter, refusedFilters } from './row-filter.ts';

interface Situation {
  readonly options: ResolvedOptions;
  readonly server: Server;
  readonly manage: 'create' | 'verify';
  readonly publication: Publication | undefined;
  /** Other slots that read the same publication. */
  readonly sharedWith: readonly string[];
  /** What the watchers need to be published. */
  readonly operations: ReadonlySet<Operation>;
}

interface Plan {
  readonly pushedDown: ReadonlyMap<number, PushedDown>;
  readonly issues: readonly ConfigurationIssue[];
  readonly warnings: readonly WatchError[];
}

/** Finds out what the server can do before it sends, for each table of the watchers. Changes nothing. */
export async function planPushDown(client: Client, bound: readonly BoundWatcher[], facts: Situation): Promise<Plan> {
  const { options, server, publication, sharedWith } = facts;
  const wholesale = publication !== undefined && (publication.allTables || publication.ofSchemas);
  const issues: ConfigurationIssue[] = versionIssues(bound, options, server);
  const warnings: WatchError[] = [];
  if (issues.length > 0) return { pushedDown: new Map(), issues, warnings };

  const filters = new Map<number, Pick<PushedDown, 'where' | 'outside'>>();
  for (const one of bound) {
    const { oid } = one.table;
    if (one.watcher.where === undefined || filters.has(oid)) continue;
    if (wholesale) issues.push(notOfTables(one, options.publication.name));
    const reading = await readRowFilter(client, one, facts);
    filters.set(oid, reading.filter);
    issues.push(...reading.issues);
    warnings.push(...reading.warnings);
  }
  // What is published besides stays published, if the publication is not ours alone.
  const kept = facts.manage === 'verify' || sharedWith.length > 0 ? (publication?.operations ?? []) : [];
  issues.push(...refusedFilters(bound, filters, new Set([...facts.operations, ...kept])));

  const asked = { columnLists: options.publication.columnLists, wholesale };
  const tables = new Map(bound.map(({ table }) => [table.oid, table]));
  const pushedDown = new Map<number, PushedDown>();
  for (const [oid, table] of tables) {
    const own = bound.filter((one) => one.table === table);
    pushedDown.set(oid, { ...columnList(table, own, server, asked), ...(filters.get(oid) ?? noFilter) });
  }
  if (issues.length === 0 && sharedWith.length > 0 && facts.manage === 'create')
    issues.push(...sharedFilters([...tables.values()], pushedDown, publication!, facts));
  return { pushedDown, issues, warnings };
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
  publication: Publication,
  { options, sharedWith }: Situation,
): ConfigurationIssue[] {
  return tables.flatMap((table): ConfigurationIssue[] => {
    const listed = publication.listed.find(({ oid }) => oid === table.oid);
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
