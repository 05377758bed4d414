import { quoteIdentifier, quoteLiteral, quoteTable } from '../postgres/server.ts';
import { databaseName } from '../watchers/bind.ts';
import { currentText, type PlannedWatcher } from '../watchers/plan.ts';
import type { CapturedChange } from '../changes/change.ts';
import type { Deliverable, NamedRow } from './deliverable.ts';

/** Types whose values name a record and open nothing: numbers, uuid, dates and times. A text may be a session or a token, and logs are read by many. */
const shownTypes = new Set([16, 20, 21, 23, 26, 1082, 1114, 1184, 1700, 2950]);

/** Rows of a batch that are asked for. */
const mostRows = 20;

/** The row that a change leaves behind. Undefined: it is gone, or its key is not known. */
export function rowOf({ bound, primaryKey }: PlannedWatcher, { type, row, old }: CapturedChange): NamedRow | undefined {
  if (type === 'deleted' || type === 'truncated') return undefined;
  const terms: string[] = [];
  let hidden = 0;
  for (const column of primaryKey) {
    const text = currentText(column, row, old);
    if (typeof text !== 'string') return undefined;
    const value = shownTypes.has(column.typeOid) ? quoteLiteral(text) : `$${++hidden}`;
    terms.push(`${quoteIdentifier(databaseName(bound.watcher.table, column.name))} = ${value}`);
  }
  return { table: quoteTable(bound.table), condition: terms.join(' AND ') };
}

/** SQL to paste, with `$1` for the value of a key that is not shown, for who wants to know what a handler cannot handle. Undefined: there is no row to look at. */
export function rowSql(deliverable: Deliverable): string | undefined {
  const rows = (deliverable.delivered ?? [deliverable]).flatMap(({ row }) => row ?? []).slice(0, mostRows);
  if (rows.length === 0) return undefined;
  const conditions = new Set(rows.map(({ condition }) => condition));
  const where = conditions.size === 1 ? [...conditions] : [...conditions].map((condition) => `(${condition})`);
  return `SELECT * FROM ${rows[0]!.table} WHERE ${where.join(' OR ')};`;
}

/** The same for what has become a dead letter. */
export function letterSql(slot: string, subscription: string, deliverable: Deliverable): string {
  const letters = (deliverable.delivered ?? [deliverable]).slice(0, mostRows);
  const ids = letters.map(({ change }) => quoteLiteral(change.eventId));
  return `SELECT * FROM walwatch.dead_letters WHERE slot = ${quoteLiteral(slot)} AND subscription = ${quoteLiteral(subscription)} AND event_id IN (${ids.join(', ')});`;
}
