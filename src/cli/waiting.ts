import type { Client } from 'pg';
import { outboxPrefix } from '../postgres/logical-messages.ts';
import { quoteVerbatim } from '../postgres/server.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import { Decoder } from '../postgres/pgoutput/decoder.ts';
import type { Message, Relation } from '../postgres/pgoutput/messages.ts';
import { withoutSecrets } from './output.ts';
import { tableName } from './watcher-name.ts';

/** A committed change or message that is not acknowledged. */
interface WaitingEvent {
  /** `users:updated`, `message:outbox` for a prefix, `message:order.placed` for an outbox message */
  readonly what: string;
  /** Null for a message outside a transaction. */
  readonly committedAt: Date | null;
}

export interface Waiting {
  /** The first ones, oldest first. */
  readonly events: readonly WaitingEvent[];
  /** There are more. */
  readonly more: boolean;
  /** Seconds since the commit of the oldest, by the server's clock. 0: no event is waiting; null: not known. */
  readonly seconds: number | null;
  /** Why they are not known. */
  readonly unknown: string | undefined;
}

/** The prefixes of our own messages, such as heartbeats and annotations, begin with this. */
const ownPrefix = 'walwatch:';
/** The most protocol messages to read. */
const most = 200;
/** Milliseconds that the server may decode: a lot may be waiting. */
const patience = 2000;

/**
 * Reads the events that wait for the worker from a temporary copy of the slot, because a slot has at most one reader. The slot
 * itself does not move.
 */
export async function readWaiting(client: Client, slot: string, publication: string): Promise<Waiting> {
  const copy = `walwatch_status_${process.pid}`;
  try {
    await client.query(`set statement_timeout = ${patience}`);
    await client.query('select pg_catalog.pg_copy_logical_replication_slot($1::name, $2::name, true)', [slot, copy]);
    try {
      const { rows } = await client.query<{ data: string; now: number }>(
        `select data, (extract(epoch from pg_catalog.clock_timestamp()) * 1000)::float8 as now
         from pg_catalog.pg_logical_slot_peek_binary_changes($1, null, ${most}, 'proto_version', '1', 'publication_names', $2, 'messages', 'true')`,
        [copy, quoteVerbatim(publication)],
      );
      return decode(rows);
    } finally {
      await client.query('select pg_catalog.pg_drop_replication_slot($1)', [copy]);
    }
  } catch (error) {
    const tooMuch = (error as { code?: unknown }).code === sqlState.queryCanceled;
    const unknown = tooMuch
      ? `more than can be read in ${patience / 1000} s`
      : withoutSecrets((error as Error).message);
    return { events: [], more: false, seconds: null, unknown };
  } finally {
    await client.query('reset statement_timeout').catch(() => {}); // the connection may be what failed
  }
}

/** Messages of all prefixes count, because the prefixes of the worker's handlers are not known here. */
function decode(rows: readonly { readonly data: string; readonly now: number }[]): Waiting {
  const decoder = new Decoder(() => undefined);
  const events: WaitingEvent[] = [];
  let committedAt: Date | null = null;
  for (const { data } of rows) {
    const message = decoder.decode(Buffer.from(data.slice(2), 'hex'));
    if (message.tag === 'begin') committedAt = new Date(message.committedAt);
    events.push(...changed(message).map((what) => ({ what, committedAt })));
    if (message.tag === 'commit') committedAt = null;
  }
  const more = rows.length >= most;
  if (events.length === 0) {
    // PostgreSQL 14 also sends transactions without published changes.
    const unknown = more ? `only the first ${most} messages of the protocol were read` : undefined;
    return { events, more, seconds: more ? null : 0, unknown };
  }
  const oldest = events.find((event) => event.committedAt !== null)?.committedAt?.getTime();
  const seconds = oldest === undefined ? null : Math.max(0, (rows[0]!.now - oldest) / 1000);
  return { events, more, seconds, unknown: undefined };
}

const types = { insert: 'inserted', update: 'updated', delete: 'deleted', truncate: 'truncated' } as const;

function changed(message: Message): string[] {
  const name = (relation: Relation, tag: keyof typeof types) => `${tableName(relation)}:${types[tag]}`;
  switch (message.tag) {
    case 'insert':
    case 'update':
    case 'delete':
      return [name(message.relation, message.tag)];
    case 'truncate':
      return message.relations.map((relation) => name(relation, 'truncate'));
    case 'message':
      if (message.prefix.startsWith(outboxPrefix)) return [`message:${message.prefix.slice(outboxPrefix.length)}`];
      return message.prefix.startsWith(ownPrefix) ? [] : [`message:${message.prefix}`];
    default:
      return [];
  }
}
