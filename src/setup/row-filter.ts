import { randomBytes } from 'node:crypto';
import type { Client, QueryConfig } from 'pg';
import { quoteTable, type Server, since } from '../postgres/server.ts';
import { inOrder } from '../postgres/round-trip.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import type { Table } from '../postgres/tables.ts';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
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

/** A row filter in PostgreSQL's own words. */
type RowFilter = Pick<PushedDown, 'where' | 'outside'>;

export const noFilter: RowFilter = { where: undefined, outside: [] };

/** What PostgreSQL makes of a `where`. */
export interface FilterReading {
  /** The watcher that speaks for its table: all with a `where` have the same. */
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
 * Reads the filters that the watchers of a table share as PostgreSQL would write them, because only that can be compared
 * with what the publication has. By the OIDs of the tables. Changes nothing.
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
      message: `${name}: PostgreSQL refuses its where: ${message}`,
      solution: solution || 'A boolean expression over the columns of the table, by their names in the database.',
      watcher: name,
      table: table.name,
    };
    return { filter: noFilter, issues: [issue], warnings: [] };
  }
}

const { insufficientPrivilege: noRight, lockNotAvailable: noLock } = sqlState;

/** Makes a publication with the filter, reads it, and takes all back. */
async function tryOut(client: Client, table: Table, where: string, server: Server): Promise<RowFilter> {
  const name = `walwatch_check_${randomBytes(8).toString('hex')}`;
  const added = addition(table, { columns: undefined, where });
  try {
    // The extended protocol takes one statement only, so that whatever closes the parenthesis is a mistake and no command.
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
    // The table may be given as it will be.
    return { where: written, outside: outside.filter((column) => !table.identityColumns.has(column)) };
  } finally {
    client.query('rollback').catch(() => {}); // what comes next on this session comes after it, or the session is lost
  }
}

/** Without PostgreSQL's help: what differs may still mean the same. */
function judgeText(watcher: string, where: string, listed: ListedTable | undefined): Reading {
  if (listed?.where === undefined) return { filter: { where, outside: [] }, issues: [], warnings: [] };
  if (bare(listed.where) === bare(where)) return { filter: listed, issues: [], warnings: [] };
  const warning = new WatchError(
    'CONFIGURATION',
    `${watcher}: its where (${where}) could not be compared with the row filter of the publication: ${listed.where}`,
    { solution: 'Nothing, if both mean the same. Else give the publication the filter of the watchers.' },
  );
  return { filter: listed, issues: [], warnings: [warning] };
}

/** An expression without what PostgreSQL adds to it when it writes it: parentheses and casts. */
export function bare(expression: string): string {
  const types =
    /::\s*(character varying|double precision|(time|timestamp) with(out)? time zone|"[^"]*"|\w+)(\(\d+(,\d+)?\))?(\[\])?/gi;
  return expression
    .replaceAll(types, '')
    .replaceAll(/[\s()]/g, '')
    .toLowerCase();
}

function uncheckable(watcher: string, cause: Error): WatchError {
  return new WatchError('PERMISSION', `${watcher}: its where can not be checked: ${cause.message}`, {
    solution:
      "Let the role own the table and have CREATE on the database; or let the owner set the filter, and use manage: 'verify'.",
    cause,
  });
}

/** The filters that would make PostgreSQL refuse what the application writes. */
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
      message: `${watcher.name}: its where uses ${columns}, which the replica identity of ${quoteTable(table)} does not have, and the publication has ${writes.join('s and ')}s${because}: PostgreSQL would refuse those of the application`,
      solution: `${alterIdentity(table, 'full')} Or use when, which is run in this process. Or watch updates and deletes with a slot and publication of their own.`,
      watcher: watcher.name,
      table: table.name,
    }]; // prettier-ignore
  });
}
