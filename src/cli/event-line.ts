import { inspect } from 'node:util';
import { noAnnotations } from '../changes/annotations.ts';
import type { EventContext } from '../types/delivery.ts';
import { oneLine } from '../printable.ts';
import { clip, paint, toJson, visible } from './output.ts';
import { cut, ellipsis, share, widthOf } from './width.ts';

type Values = Readonly<Record<string, unknown>>;

/** The whole event as one line of JSON, for programs. */
export function jsonLine(event: Values, context: EventContext): string {
  const { watcher, type, schema, table, eventId, commitLsn, xid, committedAt, previous, absent, annotations } = context;
  const line = (now: Values, before: Values) =>
    toJson({
      watcher,
      type,
      schema,
      table,
      eventId,
      commitLsn,
      xid,
      committedAt,
      event: now,
      previous: before,
      absent,
      ...(annotations !== noAnnotations && { annotations }),
    });
  try {
    return line(event, previous);
  } catch {
    return line(representable(event), representable(previous));
  }
}

/** Replaces values that JSON cannot express: the application's parsers may return any. */
function representable(values: Values): Values {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      try {
        toJson(value);
        return [name, value];
      } catch {
        return [name, described(value)];
      }
    }),
  );
}

/** Characters of a value that are always shown. If the line is still too long, its end is cut. */
const least = 8;

/** The event for people: time, watcher, values, old values and annotations. Values are cut so that all fit into the line. */
export function textLine(event: Values, context: EventContext, columns: number): string {
  const { watcher, committedAt, previous, absent, annotations } = context;
  const now = shownValues(event);
  const noted = shownValues(annotations);
  const was = shownValues(previous).filter(
    ({ name, text }) => previous[name] !== undefined && !now.some((one) => one.name === name && one.text === text),
  );
  const line = (most: number) => {
    const head = `${paint('dim', committedAt.toTimeString().slice(0, 8))} ${paint('cyan', oneLine(watcher))}`;
    const values = [
      ...now.map(({ name, text }) => `${oneLine(name)} ${paint('bold', cut(text, most))}`),
      ...absent.map((name) => `${oneLine(name)} ${paint('dim', '(unchanged, not sent)')}`),
    ];
    const dimmed = (what: string, of: typeof now) => {
      const texts = of.map(({ name, text }) => `${oneLine(name)} ${cut(text, most)}`);
      return texts.length === 0 ? [] : [paint('dim', `${what} ${texts.join(', ')}`)];
    };
    return [head, values.join(', '), ...dimmed('was', was), ...dimmed('with', noted)].join('  ');
  };
  if (columns === Infinity) return line(Infinity);
  const widths = [...now, ...was, ...noted].map(({ text }) => widthOf(text));
  const around = widthOf(visible(line(0))) - widths.length * ellipsis.length;
  return clip(line(Math.max(least, share(widths, columns - around))), columns);
}

function shownValues(values: Values = {}): { readonly name: string; readonly text: string }[] {
  return Object.keys(values).map((name) => ({ name, text: shown(values[name]) }));
}

/** The most characters of a value that are used: no line is longer. */
const longest = 10_000;

/** Any value, as text on one line. */
function shown(value: unknown): string {
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
  if (Buffer.isBuffer(value)) return `\\x${value.subarray(0, 16).toString('hex')}${value.length > 16 ? '…' : ''}`;
  if (typeof value === 'string') return oneLine(JSON.stringify(value.slice(0, longest)));
  return described(value);
}

function described(value: unknown): string {
  try {
    return oneLine(inspect(value, { breakLength: Infinity, depth: 4 }).slice(0, longest));
  } catch {
    return '(a value that cannot be shown)'; // inspecting it throws
  }
}
