import { oneLine } from '../printable.ts';
import type { ExistingFacts, ExistingTable } from './existing-facts.ts';
import { formatSeconds } from './output.ts';

/** One line for each table that is not done; one line for all that are. */
export function existingLines({ of, unknown }: ExistingFacts): readonly string[] {
  if (unknown !== undefined) return [`unknown: ${unknown}`];
  if (of.length === 0) return [];
  const open = of.filter(({ state }) => state !== 'done');
  if (open.length > 0) return open.map((one) => existingLine(one));
  const versions = new Set(of.map(({ subscription, version }) => `${oneLine(subscription)} (${oneLine(version)})`));
  return [`all handled: ${[...versions].join(', ')}`];
}

/** `search: public.orders, version v1: 120,000 of about 1,000,000 rows (12 %), 3,400 rows/s, about 4 min left` */
export function existingLine(one: ExistingTable): string {
  const { subscription, table, version, state, rows, estimatedRows, rowsPerSecond, secondsLeft } = one;
  const what = `${oneLine(subscription)}: ${oneLine(table)}, version ${oneLine(version)}`;
  if (state === 'done') return `${what}: done, ${rowCount(rows)}`;
  if (state === 'waiting') return `${what}: reading has not started`;
  const of =
    estimatedRows === null || estimatedRows < rows
      ? rowCount(rows)
      : `${count(rows)} of about ${rowCount(estimatedRows)}${estimatedRows > 0 ? ` (${Math.floor((rows / estimatedRows) * 100)} %)` : ''}`;
  const rate = rowsPerSecond === null ? '' : rowsPerSecond < 1 ? ', no progress' : `, ${count(rowsPerSecond)} rows/s`;
  const left = secondsLeft === null ? '' : `, about ${formatSeconds(secondsLeft)} left`;
  return `${what}: ${of}${rate}${left}`;
}

function rowCount(rows: number): string {
  return `${count(rows)} ${rows === 1 ? 'row' : 'rows'}`;
}

function count(number: number): string {
  return Math.round(number).toLocaleString('en-US');
}
