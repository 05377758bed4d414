import { randomBytes } from 'node:crypto';
import type { Client, QueryConfig } from 'pg';
import { quoteTable, type Server, since } from '../postgres/server.ts';
import { inOrder } from '../postgres/round-trip.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import type { Table } from '../postgres/tables.ts';
import { type ConfigurationIssue, shown, WatchError } from '../errors.ts';
import { alterIdentity, type BoundWatcher } from '../watchers/bind.ts';
import {
  type ListedTable,
  lockTimeout,
  type Operation,
  type Publication,
  listPublication,
  withFilters,
} from './publication.ts';
import { isRefused } from './publication-sql.ts';
import { addition, type PushedDown } from './pushed-down.ts';

/** A row filter as PostgreSQL writes it. */
type RowFilter = Pick<PushedDown, 'where' | 'outside'>;

export const noFilter: RowFilter = { where: undefined, outside: [] };

/** What PostgreSQL says about a `where`. */
export interface FilterReading {
  /** A watcher of the table: all watchers with a `where` have the same one. */
  readonly of: BoundWatcher;
  readonly filter: RowFilter;
  readonly issues: readonly ConfigurationIssue[];
  readonly warnings: readonly WatchError[];
}

type Reading = Omit<FilterReading, 'of'>;

interface Situation {
  readonly publication: Publication | undefined;
  readonly server: Server;
  readonly manage: 'create' | 'verify';
}

/**
 * Reads the filters of the watched tables as PostgreSQL would write them, because only that text can be compared with the
 * publication's. By the OIDs of the tables. Changes nothing.
 */
export async function readRowFilters(
  client: Client,
  bound: readonly BoundWatcher[],
  facts: Situation,
): Promise<Map<number, FilterReading>> {
  const readings = new Map<number, FilterReading>();
  if (facts.server.major < since.columnLists) return readings;
  for (const one of bound) {
    const { oid } = one.table;
    if (one.watcher.where === undefined || readings.has(oid)) continue;
    readings.set(oid, { of: one, ...(await readRowFilter(client, one, facts)) });
  }
  return readings;
}

async function readRowFilter(
  client: Client,
  { watcher: { name, where = '' }, table }: BoundWatcher,
  facts: Situation,
): Promise<Reading> {
  const listed = facts.publication?.listed.find(({ oid }) => oid === table.oid);
  if (facts.server.inRecovery) return judgeText(name, where, listed);
  try {
    return { filter: await tryOut(client, table, where, facts.server), issues: [], warnings: [] };
  } catch (error) {
    const { code = '', message, detail, hint } = error as Error & Partial<Record<'code' | 'detail' | 'hint', string>>;
    if (code === noRight || code === noLock) {
      const judged = judgeText(name, where, listed);
      if (judged.filter === listed || facts.manage === 'verify') return judged;
      throw code === noLock ? error : uncheckable(name, error as Error);
    }
    if (!/^(42|22|0A)/.test(code)) throw error;
    const solution = [detail, hint].filter(Boolean).join(' ');
    const issue: ConfigurationIssue = {
      message: `${name}: PostgreSQL refuses its where ${shown(where)}: ${message}`,
      solution: solution || 'Use a boolean expression over the columns of the table, with their names in the database.',
      watcher: name,
      table: table.name,
    };
    return { filter: noFilter, issues: [issue], warnings: [] };
  }
}

const { insufficientPrivilege: noRight, lockNotAvailable: noLock } = sqlState;

/** Creates a publication with the filter, reads it, and rolls back. */
async function tryOut(client: Client, table: Table, where: string, server: Server): Promise<RowFilter> {
  const name = `walwatch_check_${randomBytes(8).toString('hex')}`;
  const added = addition(table, { columns: undefined, where });
  try {
    // The extended protocol allows one statement only. So an expression that closes the parenthesis is a syntax error, not a command.
    const statement: QueryConfig & { queryMode: 'extended' } = {
      text: `CREATE PUBLICATION ${name} FOR TABLE ${added} WITH (publish_via_partition_root = true)`,
      queryMode: 'extended',
    };
    const [, , listing] = await inOrder([
      client.query(`begin; set local lock_timeout = ${lockTimeout}`),
      client.query(statement),
      listPublication(client, name, server),
    ]);
    const { where: written, outside } = (await withFilters(client, listing))!.listed[0]!;
    // The table may be one that has not been altered yet: its future replica identity counts.
    return { where: written, outside: outside.filter((column) => !table.identityColumns.has(column)) };
  } finally {
    client.query('rollback').catch(() => {}); // later queries of this session run after it, or the session is lost
  }
}

/** Compares the texts without PostgreSQL's help. Different texts may still mean the same. */
function judgeText(watcher: string, where: string, listed: ListedTable | undefined): Reading {
  if (listed?.where === undefined) return { filter: { where, outside: [] }, issues: [], warnings: [] };
  if (bare(listed.where) === bare(where)) return { filter: listed, issues: [], warnings: [] };
  const warning = new WatchError(
    'CONFIGURATION',
    `${watcher}: its where (${where}) could not be compared with the publication's row filter: ${listed.where}`,
    { solution: 'Nothing, if both mean the same. Otherwise give the publication the filter of the watchers.' },
  );
  return { filter: listed, issues: [], warnings: [warning] };
}

/** An expression without the parentheses and casts that PostgreSQL adds. */
export function bare(expression: string): string {
  const types =
    /::\s*(character varying|double precision|(time|timestamp) with(out)? time zone|"[^"]*"|\w+)(\(\d+(,\d+)?\))?(\[\])?/gi;
  return expression
    .replaceAll(types, '')
    .replaceAll(/[\s()]/g, '')
    .toLowerCase();
}

function uncheckable(watcher: string, cause: Error): WatchError {
  return new WatchError('PERMISSION', `${watcher}: its where cannot be checked: ${cause.message}`, {
    solution:
      "Make the role the owner of the table and grant it CREATE on the database. Or let the owner set the filter, and use manage: 'verify'.",
    cause,
  });
}

/** Filters that would make PostgreSQL refuse the application's writes. */
export function refusedFilters(
  bound: readonly BoundWatcher[],
  filters: ReadonlyMap<number, RowFilter>,
  operations: ReadonlySet<Operation>,
): ConfigurationIssue[] {
  const writes = (['update', 'delete'] as const).filter((operation) => operations.has(operation));
  return [...filters].flatMap(([oid, filter]): ConfigurationIssue[] => {
    const { watcher, table } = bound.find((one) => one.table.oid === oid && one.watcher.where !== undefined)!;
    if (!isRefused(filter, operations)) return [];
    const columns = filter.outside.map((column) => `'${column}'`).join(', ');
    const why = bound.filter((one) => one.watcher.type === 'updated' || one.watcher.type === 'deleted');
    const because = why.length === 0 ? '' : ` (for ${why.map((one) => `'${one.watcher.name}'`).join(', ')})`;
    return [{
      message: `${watcher.name}: its where uses ${columns}, which the replica identity of ${quoteTable(table)} does not contain, but the publication has ${writes.join('s and ')}s${because}. PostgreSQL would refuse those of the application`,
      solution: `${alterIdentity(table, 'full')} Or use when, which runs in this process. Or watch updates and deletes with another slot and publication.`,
      watcher: watcher.name,
      table: table.name,
    }]; // prettier-ignore
  });
}
