import type { Client } from 'pg';
import { WatchError } from '../errors.ts';
import type { HeldBy } from '../types/events.ts';

interface RetainedWal {
  /** The server's end of WAL. */
  readonly currentLsn: string;
  /** Bytes of WAL that the server keeps for the slot. */
  readonly bytes: number;
}

async function readRetainedWal(client: Client, slot: string): Promise<RetainedWal | undefined> {
  const { rows } = await client.query<{ current: string; retained: number | null }>(
    `select now.lsn::text as current, pg_catalog.pg_wal_lsn_diff(now.lsn, s.restart_lsn)::float8 as retained
     from (select case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_lsn() end as lsn) now,
          pg_catalog.pg_replication_slots s where s.slot_name = $1`,
    [slot],
  );
  const row = rows[0];
  return row && { currentLsn: row.current, bytes: row.retained ?? 0 };
}

/** The number of retained bytes above which to warn: the user's setting, or 80 % of the server's limit. Undefined: never. */
export function warningThreshold(own: number | undefined, maxSlotWalKeepSize: number | undefined): number | undefined {
  return own ?? (maxSlotWalKeepSize === undefined ? undefined : maxSlotWalKeepSize * 0.8);
}

function walRetained(slot: string, bytes: number, threshold: number, heldBy: string | undefined): WatchError {
  const cause =
    heldBy === undefined
      ? 'All events are handled. Look for a long transaction (pg_stat_activity.xact_start).'
      : `The slot waits for ${heldBy}.`;
  return new WatchError(
    'WAL_RETAINED',
    `the slot '${slot}' retains ${bytes} bytes of WAL, more than the threshold of ${Math.round(threshold)}`,
    {
      solution: `${cause} Beyond max_slot_wal_keep_size the slot is lost; without that limit the disk fills up.`,
    },
  );
}

/** The warning that a subscription's unfinished event holds the slot back. */
export function handlerSlow({ subscription, eventId, since, attempt, error, sql }: HeldBy): WatchError {
  const failing =
    error === undefined ? '' : `, failing (${error instanceof Error ? error.message : 'not with an Error'})`;
  return new WatchError(
    'HANDLER_SLOW',
    `${subscription} has been handling event ${eventId} since ${since.toISOString()}, attempt ${attempt}${failing}: the slot cannot advance`,
    {
      solution: `Check its handler. \`timeout\` ends attempts that hang, and onError decides what happens next; \`concurrency\` lets other records continue.${sql === undefined ? '' : ` Look at the row: ${sql}`}`,
      cause: error,
    },
  );
}

/** Measures from time to time how much WAL the slot retains, and warns once when it exceeds the threshold. */
export class RetainedWalMonitor {
  readonly #slot: string;
  readonly #threshold: number | undefined;
  readonly #warn: (warning: WatchError) => void;
  #exceeded = false;
  /** Retained bytes at the last inspection. */
  bytes: number | undefined;

  constructor(slot: string, threshold: number | undefined, warn: (warning: WatchError) => void) {
    this.#slot = slot;
    this.#threshold = threshold;
    this.#warn = warn;
  }

  /** Returns the server's end of WAL, or undefined if the slot does not exist. `heldBy`: the subscription that the slot waits for. */
  async inspect(
    client: Client,
    maxSlotWalKeepSize: number | undefined,
    heldBy: string | undefined,
  ): Promise<string | undefined> {
    const retained = await readRetainedWal(client, this.#slot);
    if (!retained) return undefined;
    this.bytes = retained.bytes;
    const threshold = warningThreshold(this.#threshold, maxSlotWalKeepSize);
    const exceeded = threshold !== undefined && retained.bytes > threshold;
    if (exceeded && !this.#exceeded) this.#warn(walRetained(this.#slot, retained.bytes, threshold, heldBy));
    this.#exceeded = exceeded;
    return retained.currentLsn;
  }
}
