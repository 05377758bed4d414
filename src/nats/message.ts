import { isUtf8 } from 'node:buffer';
import type { Occurrence } from '../delivery/occurrence.ts';
import { isDeeper, noAnnotations } from '../changes/annotations.ts';
import { maxAnnotationLevels } from '../postgres/logical-messages.ts';
import type { TupleValue } from '../postgres/pgoutput/messages.ts';
import { databaseName } from '../watchers/bind.ts';
import { recordKey } from '../watchers/event.ts';
import { currentText, type PlannedColumn, type PlannedWatcher, previousText } from '../watchers/plan.ts';
import { shown } from '../errors.ts';
import type { UpdateType } from '../types/watchers.ts';
import { subjectToken, watcherTokenOf } from './subjects.ts';

/**
 * The payload of a message, as JSON: an event as the worker received it, with PostgreSQL's text form of the values and the
 * column names of the database, so that any process can parse it as the worker would.
 */
export interface EventMessage {
  readonly version: 1;
  readonly watcher: string;
  readonly type: UpdateType;
  readonly schema: string;
  readonly table: string;
  readonly primaryKey: readonly string[];
  /** The type OIDs of all columns of the event; for a domain, that of its base type. */
  readonly types: Readonly<Record<string, number>>;
  readonly eventId: string;
  readonly commitLsn: string;
  readonly ordinal: number;
  readonly xid: number;
  /** ISO 8601. */
  readonly committedAt: string;
  /** PostgreSQL did not send the value of a column that is missing here. */
  readonly event: Readonly<Record<string, string | null>>;
  /** For an update: the old values that are known. */
  readonly previous?: Readonly<Record<string, string | null>>;
  /** What the application attached to the transaction. */
  readonly annotations?: Readonly<Record<string, unknown>>;
  /** The row was read from the table: it is not a change. */
  readonly existing?: true;
  /** A second message, under the key that the record had before. */
  readonly copy?: true;
}

/** The part of a watcher's messages that is always the same, as JSON. */
interface Outline {
  readonly head: string;
  readonly columns: readonly { readonly column: PlannedColumn; readonly name: string }[];
}

const outlines = new WeakMap<PlannedWatcher, Outline>();

/** The payload of an event's message, and the same payload marked as a copy. */
export function writeMessage({ planned, change }: Occurrence): {
  readonly payload: string;
  readonly copy: () => string;
} {
  const { head, columns } = outlineOf(planned);
  const { transaction, row, old, ordinal, type, existing, eventId, annotations } = change;
  const body =
    `${head}${existing ? `,"existing":true,"eventId":${JSON.stringify(eventId)}` : `,"eventId":"${eventId}"`},"commitLsn":"${transaction.commitLsn}","ordinal":${ordinal}` +
    `,"xid":${transaction.xid},"committedAt":"${transaction.committedAt.toISOString()}"` +
    `,"event":${texts(columns, (column) => currentText(column, row, old))}` +
    (type === 'updated' ? `,"previous":${texts(columns, (column) => previousText(column, row, old))}` : '') +
    (annotations === noAnnotations ? '' : `,"annotations":${JSON.stringify(annotations)}`);
  return { payload: `${body}}`, copy: () => `${body},"copy":true}` };
}

/** The key of the event's record, and its former key if the key has changed. Undefined: `truncated` events have no key. */
export function keysOf({ planned, change }: Occurrence): {
  readonly key: string | undefined;
  readonly before: string | undefined;
} {
  const { row, old, type } = change;
  if (type === 'truncated') return { key: undefined, before: undefined };
  const key = recordKey(planned.primaryKey, currentText, row, old);
  if (old === undefined) return { key, before: undefined };
  const before = recordKey(planned.primaryKey, previousText, row, old);
  return { key, before: before === key ? undefined : before };
}

/** A message of a newer version of walwatch. */
export interface NewerMessage {
  readonly version: number;
}

/** Reads a payload. Returns a string with the reason if it is not a walwatch message. */
export function readMessage(subject: string, payload: Uint8Array): EventMessage | NewerMessage | string {
  if (!isUtf8(payload)) return 'it is not UTF-8';
  let message: unknown;
  try {
    message = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString());
  } catch {
    return 'it is not JSON';
  }
  if (!isRecord(message)) return 'it is not an object';
  const { version } = message;
  if (!isCount(version) || version === 0) return `its version is ${shown(version)}`;
  if (version > 1) return { version };
  for (const [name, isGood] of parts)
    if (!isGood(message[name])) return `its ${name} is ${shown(message[name])}`.slice(0, 300);
  const event = message as unknown as EventMessage;
  if (subjectToken(event.watcher) !== watcherTokenOf(subject))
    return `its watcher is ${shown(event.watcher)}`.slice(0, 300);
  return event;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isTexts = (value: unknown) =>
  isRecord(value) && Object.values(value).every((text) => text === null || isText(text));

/** The fields of a message and their checks. */
const parts: readonly (readonly [keyof EventMessage, (value: unknown) => boolean])[] = [
  ['watcher', isText],
  ['type', (value) => isText(value) && ['inserted', 'updated', 'deleted', 'truncated'].includes(value)],
  ['schema', isText],
  ['table', isText],
  ['primaryKey', (value) => Array.isArray(value) && value.every(isText)],
  ['types', (value) => isRecord(value) && Object.values(value).every(isCount)],
  ['eventId', (value) => isText(value) && /^(?:[\dA-F]{1,8}\/[\dA-F]{1,8}\/\d{1,15}$|existing\/)/.test(value)],
  ['commitLsn', (value) => isText(value) && /^[\dA-F]{1,8}\/[\dA-F]{1,8}$/.test(value)],
  ['ordinal', isCount],
  ['xid', isCount],
  ['committedAt', (value) => isText(value) && !Number.isNaN(Date.parse(value))],
  ['event', isTexts],
  ['previous', (value) => value === undefined || isTexts(value)],
  // A dead letter has to write them as JSON again.
  ['annotations', (value) => value === undefined || (isRecord(value) && !isDeeper(value, maxAnnotationLevels))],
  ['existing', (value) => value === undefined || value === true],
  ['copy', (value) => value === undefined || value === true],
];

function outlineOf(planned: PlannedWatcher): Outline {
  const known = outlines.get(planned);
  if (known) return known;
  const { watcher, table, primaryKey } = planned.bound;
  const nameOf = (column: string) => databaseName(watcher.table, column);
  const columns = planned.columns.map((column) => ({ column, name: JSON.stringify(nameOf(column.name)) }));
  const fixed = {
    version: 1,
    watcher: watcher.name,
    type: watcher.type,
    schema: table.schema,
    table: table.name,
    primaryKey: primaryKey.map(nameOf),
  };
  const types = columns.map(({ column, name }) => `${name}:${column.typeOid}`);
  const outline = { head: `${JSON.stringify(fixed).slice(0, -1)},"types":{${types.join()}}`, columns };
  outlines.set(planned, outline);
  return outline;
}

function texts(columns: Outline['columns'], textOf: (column: PlannedColumn) => TupleValue): string {
  let json = '';
  for (const { column, name } of columns) {
    const text = textOf(column);
    if (text !== undefined) json += `${json === '' ? '{' : ','}${name}:${JSON.stringify(text)}`;
  }
  return json === '' ? '{}' : `${json}}`;
}
