import type { Client } from 'pg';
import type { Captured } from '../changes/ledger.ts';
import { WatchError } from '../errors.ts';
import { type Lsn, parseLsn } from '../postgres/lsn.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import { withMigration } from '../postgres/migration.ts';
import { checkOwnTable, foreignTable } from '../postgres/own-tables.ts';
import { inOrder } from '../postgres/round-trip.ts';
import type { Session } from '../postgres/session.ts';
import type { OnError } from '../types/delivery.ts';
import type { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import type { Recipient } from './recipient.ts';

export interface RecoveryHost {
  readonly slot: string;
  /** The table may be created if it is missing. */
  readonly create: boolean;
  /** Opens a dedicated session. `deadline`: milliseconds per task. */
  open(deadline: number): Promise<Session>;
  /** Whether any subscription has such an `onError`. */
  some(has: (onError: OnError) => boolean): boolean;
  warn(warning: WatchError): void;
}

const deadline = 10_000;
const endTimeout = 2000;
const missing: readonly string[] = [sqlState.undefinedTable, sqlState.invalidSchemaName];

/** What deliveries need from it. */
export type RecoveryView = Pick<Recovery, 'open' | 'covers' | 'isDead' | 'counts' | 'firstAttempt' | 'call' | 'close'>;

/**
 * Knows what earlier processes left behind for events that are delivered again: dead letters, and attempts that were
 * running when a process ended. No process can have begun events after the end of WAL at the start, so this is needed
 * only until those arrive.
 */
export class Recovery {
  /** Events that an earlier process began may still arrive. */
  open = false;
  readonly #host: RecoveryHost;
  #loaded = false;
  /** Running attempts are recorded in the database. */
  #counting = false;
  /** The database has a record that this process runs. */
  #noted = false;
  #until: Lsn = 0n;
  /** By subscription and event: the identity that distinguishes the event from one of another history. */
  readonly #letters = new Map<string, string>();
  readonly #attempts = new Map<string, number>();
  #opening: Promise<Session> | undefined;

  constructor(host: RecoveryHost) {
    this.#host = host;
  }

  /** Reads once, before streaming, unless another worker has the slot. `confirmed`: the slot's position. */
  async load(client: Client, confirmed: string | undefined): Promise<void> {
    const counts = this.#host.some((onError) => typeof onError === 'object');
    if (this.#loaded || !this.#host.some((onError) => onError !== 'retry')) return;
    const [{ rows }] = await inOrder([
      client.query<{ active: boolean; end: string }>(
        `select exists (select from pg_catalog.pg_replication_slots where slot_name = $1 and active) as active,
                case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
                     else pg_catalog.pg_current_wal_insert_lsn() end::text as end`,
        [this.#host.slot],
      ),
      // Saves a round trip: those who use the tables report any problem.
      foreignTable(client, 'dead_letters'),
      counts ? foreignTable(client, 'attempts') : undefined,
    ]);
    const { active, end } = rows[0]!;
    if (active) return;
    this.#until = parseLsn(end);
    const crashed = counts && (await this.#loadAttempts(client));
    if (confirmed !== undefined) await this.#loadLetters(client, confirmed);
    this.#counting = crashed;
    this.open = crashed || this.#letters.size > 0;
    this.#loaded = true;
  }

  /** Another worker uses the slot now. */
  forget(): void {
    this.#loaded = this.open = this.#counting = false;
    this.#letters.clear();
    this.#attempts.clear();
  }

  covers({ transaction }: Captured): boolean {
    return transaction.finalLsn <= this.#until;
  }

  /** Whether the event already is a dead letter. */
  isDead({ name, watcher: source }: Recipient, { change, watcher = source }: Deliverable): boolean {
    const letter = this.#letters.get(keyOf(name, change.eventId, watcher));
    return letter !== undefined && letter === identityOf(change.transaction.xid, change.transaction.committedAt);
  }

  /** Whether the event's attempts are recorded. */
  counts({ settings }: Recipient, { change }: Deliverable): boolean {
    return this.#counting && typeof settings.onError === 'object' && this.covers(change);
  }

  firstAttempt({ name }: Recipient, deliverable: Deliverable): number {
    if (this.#attempts.size === 0) return 1;
    return 1 + Math.max(...eventIdsOf(deliverable).map((eventId) => this.#attempts.get(keyOf(name, eventId)) ?? 0));
  }

  /** Calls a handler. A record exists in the database while it runs. */
  async call(
    { name }: Recipient,
    deliverable: Deliverable,
    context: HandlerContext,
    handler: () => unknown,
  ): Promise<void> {
    const eventIds = eventIdsOf(deliverable);
    await this.#note(
      `insert into walwatch.attempts (slot, subscription, event_id, attempt)
       select $1, $2, pg_catalog.unnest($3::text[]), $4
       on conflict (slot, subscription, event_id) do update set attempt = excluded.attempt`,
      [this.#host.slot, name, eventIds, context.attempt],
    );
    try {
      await handler();
    } finally {
      const noted = [this.#host.slot, name, eventIds];
      void this.#note(
        'delete from walwatch.attempts where slot = $1 and subscription = $2 and event_id = any ($3)',
        noted,
      );
    }
  }

  /** From now on all events are new. */
  close(): void {
    this.open = false;
    this.#letters.clear();
    this.#attempts.clear();
    this.#opening?.then((session) => session.use(async () => session.close())).catch(() => {});
    this.#opening = undefined;
  }

  /** The process stops normally. Does not wait long for a server that does not answer: that only makes the next start more careful. */
  async end(): Promise<void> {
    if (!this.#noted) return;
    this.#noted = false;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, endTimeout)));
    await Promise.race([this.#note('delete from walwatch.attempts where slot = $1', [this.#host.slot]), patience]);
    clearTimeout(timer);
    this.close();
  }

  /** Whether an earlier process ended without stopping. Deletes its records: a new attempt writes a new one. */
  async #loadAttempts(client: Client): Promise<boolean> {
    const { slot, create } = this.#host;
    try {
      return await withMigration(client, '004_attempts', create, async () => {
        const [{ rows }] = await inOrder([
          client.query<{ subscription: string; eventId: string; attempt: number }>(
            'delete from walwatch.attempts where slot = $1 returning subscription, event_id as "eventId", attempt',
            [slot],
          ),
          client.query(`insert into walwatch.attempts values ($1, '', '', 0) on conflict do nothing`, [slot]),
        ]);
        this.#noted = true;
        for (const { subscription, eventId, attempt } of rows)
          this.#attempts.set(keyOf(subscription, eventId), attempt);
        return rows.length > 0;
      });
    } catch (cause) {
      this.#host.warn(
        new WatchError(
          'PERMISSION',
          `walwatch.attempts cannot be written, so a handler that ends its process is retried without a limit: ${(cause as Error).message}`,
          {
            solution:
              (cause as WatchError).solution ??
              'As the owner of the database, run node_modules/walwatch/sql/migrations/004_attempts.sql with its grants.',
            cause,
          },
        ),
      );
      return false;
    }
  }

  async #loadLetters(client: Client, confirmed: string): Promise<void> {
    try {
      await checkOwnTable(client, 'dead_letters');
      const { rows } = await client.query<{
        subscription: string;
        eventId: string;
        watcher: string;
        xid: string;
        at: string;
      }>(
        `select subscription, event_id as "eventId", watcher, context ->> 'xid' as xid, context ->> 'committedAt' as at
         from walwatch.dead_letters
         where slot = $1
           and case when event_id like 'existing/%' then true
                    else (pg_catalog.split_part(event_id, '/', 1) || '/' || pg_catalog.split_part(event_id, '/', 2))::pg_lsn >= $2::pg_lsn end`,
        [this.#host.slot, confirmed],
      );
      for (const { subscription, eventId, watcher, xid, at } of rows)
        this.#letters.set(keyOf(subscription, eventId, watcher), identityOf(Number(xid), new Date(at)));
    } catch (error) {
      // The table is created with the first letter. If it cannot be used, writing a letter reports that.
      if (!missing.includes((error as { code?: string }).code!)) this.#host.warn(lettersUnknown(error));
    }
  }

  /** A record that cannot be written must not stop the handler from being called. */
  async #note(statement: string, values: unknown[]): Promise<void> {
    try {
      const session = await (this.#opening ??= this.#open());
      await session.use((client) => client.query(statement, values));
    } catch {
      this.#opening = undefined; // the next call opens a new session
    }
  }

  /** synchronous_commit is off: a crash of this process loses nothing that the server has in memory. */
  async #open(): Promise<Session> {
    const session = await this.#host.open(deadline);
    await session.use((client) => client.query('set synchronous_commit = off'));
    return session;
  }
}

function keyOf(...parts: readonly string[]): string {
  return parts.join('\0');
}

/** Positions can repeat after a restore, for other transactions. Messages outside transactions cannot be compared: their time is the time of arrival. */
function identityOf(xid: number, committedAt: Date): string {
  return xid === 0 ? '0' : `${xid} ${committedAt.getTime()}`;
}

/** Includes the watcher, because a list of watchers may deliver one change twice. */
function eventIdsOf(deliverable: Deliverable): readonly string[] {
  const { parts = [deliverable] } = deliverable;
  return parts.map(({ change, watcher }) => (watcher === undefined ? change.eventId : `${change.eventId} ${watcher}`));
}

function lettersUnknown(cause: unknown): WatchError {
  const { solution } = cause as WatchError;
  return new WatchError('DEAD_LETTER', `the dead letters cannot be read: ${(cause as Error).message}`, {
    solution:
      solution ??
      'Events that are delivered again after a crash may be handled although they already are dead letters.',
    cause,
  });
}
