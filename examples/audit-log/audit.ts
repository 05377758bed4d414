import { isDeepStrictEqual } from 'node:util';
import type { ClientBase } from 'pg';
import type { Annotations } from 'walwatch';
import type { AuditedChange } from './watchers.ts';

type Values = Readonly<Record<string, unknown>>;

/** A row of `example.audit_log`. */
interface Entry {
  readonly event_id: string;
  readonly xid: number;
  readonly committed_at: Date;
  readonly actor: string | null;
  readonly request_id: string | null;
  readonly table_name: string;
  /** Null for `truncated`, which concerns all rows. */
  readonly row_id: string | null;
  readonly operation: AuditedChange['type'];
  /** Of an update: the columns that it changed. */
  readonly old_values: Values;
  readonly new_values: Values;
}

/** Writes the changes of a batch, in the transaction that also stores the position: each change is written exactly once. */
export async function writeAudit(
  changes: readonly AuditedChange[],
  { client }: { readonly client: ClientBase },
): Promise<void> {
  const entries = changes.flatMap(entryOf);
  await client.query(
    `insert into example.audit_log
       (event_id, xid, committed_at, actor, request_id, table_name, row_id, operation, old_values, new_values)
     select event_id, xid, committed_at, actor, request_id, table_name, row_id, operation, old_values, new_values
     from jsonb_populate_recordset(null::example.audit_log, $1)`,
    [JSON.stringify(entries)],
  );
  for (const { actor, operation, table_name, row_id } of entries) {
    console.log('audited', actor ?? 'unknown', operation, table_name, row_id ?? '');
  }
}

/** Nothing for an update that changed no value. */
function entryOf({ type, event, context }: AuditedChange): Entry[] {
  const { eventId, xid, committedAt, annotations, schema, table } = context;
  const [oldValues, newValues] = valuesOf(type, event, context.previous);
  if (type === 'updated' && Object.keys(newValues).length === 0) return [];
  return [
    {
      event_id: eventId,
      xid,
      committed_at: committedAt,
      actor: nameIn(annotations, 'actor'),
      request_id: nameIn(annotations, 'requestId'),
      table_name: `${schema}.${table}`,
      row_id: 'id' in event ? String(event.id) : null,
      operation: type,
      old_values: oldValues,
      new_values: newValues,
    },
  ];
}

function valuesOf(type: AuditedChange['type'], event: Values, previous: Values): [old: Values, now: Values] {
  if (type === 'inserted') return [{}, event];
  if (type === 'deleted') return [event, {}];
  const changed = Object.keys(event).filter((column) => !isDeepStrictEqual(event[column], previous[column]));
  const pick = (values: Values) => Object.fromEntries(changed.map((column) => [column, values[column]]));
  return [pick(previous), pick(event)];
}

/** Every role that may connect can write annotations, so this accepts only what the application would write. */
function nameIn(annotations: Annotations, key: 'actor' | 'requestId'): string | null {
  const value = annotations[key];
  return typeof value === 'string' && /^[\w:.@-]{1,100}$/.test(value) ? value : null;
}
