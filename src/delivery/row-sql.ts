import { quoteIdentifier, quoteLiteral, quoteTable } from '../postgres/server.ts';
import { databaseName } from '../watchers/bind.ts';
import { currentText, type PlannedWatcher } from '../watchers/plan.ts';
import type { CapturedChange } from '../changes/change.ts';
import type { Deliverable, NamedRow } from './deliverable.ts';

/** Types whose values may appear in logs: numbers, uuid, dates and times. A text may be a session id or a token. */
const shownTypes = new Set([16, 20, 21, 23, 26, 1082, 1114, 1184, 1700, 2950]);

/** The maximum number of rows of a batch in one statement. */
const maxRows = 20;

/** The row after the change. Undefined: it was deleted, or its key is unknown. */
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

/** SQL that shows the row of a failed event. Key values that may be secret are replaced by `$1`. Undefined: there is nothing to show. */
export function rowSql(deliverable: Deliverable): string | undefined {
  const rows = (deliverable.delivered ?? [deliverable]).flatMap(({ row }) => row ?? []).slice(0, maxRows);
  if (rows.length === 0) return undefined;
  const conditions = new Set(rows.map(({ condition }) => condition));
  const where = conditions.size === 1 ? [...conditions] : [...conditions].map((condition) => `(${condition})`);
  return `SELECT * FROM ${rows[0]!.table} WHERE ${where.join(' OR ')};`;
}

/** SQL that shows the dead letter of an event. */
export function letterSql(slot: string, subscription: string, deliverable: Deliverable): string {
  const letters = (deliverable.delivered ?? [deliverable]).slice(0, maxRows);
  const ids = letters.map(({ change }) => quoteLiteral(change.eventId));
  return `SELECT * FROM walwatch.dead_letters WHERE slot = ${quoteLiteral(slot)} AND subscription = ${quoteLiteral(subscription)} AND event_id IN (${ids.join(', ')});`;
}
