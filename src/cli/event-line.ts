import { inspect } from 'node:util';
import type { EventContext } from '../types/delivery.ts';
import { oneLine } from '../printable.ts';
import { paint, toJson } from './output.ts';

type Values = Readonly<Record<string, unknown>>;

/** For a program: everything, as one line of JSON. */
export function jsonLine(event: Values, context: EventContext): string {
  const { watcher, type, schema, table, eventId, commitLsn, xid, committedAt, previous, absent } = context;
  return toJson({ watcher, type, schema, table, eventId, commitLsn, xid, committedAt, event, previous, absent });
}

/** For a person: time, watcher, values, and what they were before. */
export function textLine(event: Values, { watcher, committedAt, previous, absent }: EventContext): string {
  const time = committedAt.toTimeString().slice(0, 8);
  const changed = Object.keys(previous).filter(
    (name) => previous[name] !== undefined && toJson(previous[name]) !== toJson(event[name]),
  );
  const was = changed.map((name) => `${oneLine(name)} ${shown(previous[name])}`).join(', ');
  const values = [
    ...Object.entries(event).map(([name, value]) => `${oneLine(name)} ${paint('bold', shown(value))}`),
    ...absent.map((name) => `${oneLine(name)} ${paint('dim', '(unchanged, not sent)')}`),
  ].join(', ');
  return [
    `${paint('dim', time)} ${paint('cyan', oneLine(watcher))}`,
    values,
    ...(was === '' ? [] : [paint('dim', `was ${was}`)]),
  ].join('  ');
}

function shown(value: unknown): string {
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return `\\x${value.subarray(0, 16).toString('hex')}${value.length > 16 ? '…' : ''}`;
  if (typeof value === 'string') return JSON.stringify(value);
  return oneLine(inspect(value, { breakLength: Infinity, depth: 4 }));
}
