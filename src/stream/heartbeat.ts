import { WatchError } from '../errors.ts';
import { formatLsn, type Lsn, parseLsn } from '../postgres/lsn.ts';
import type { Session } from '../postgres/session.ts';
import { patience } from './timing.ts';

/** How far the stream is. */
export interface StreamFacts {
  readonly paused: boolean;
  /** The furthest position that the server named. */
  readonly write: Lsn;
  /** Milliseconds without a byte. */
  readonly silence: number;
}

/** One that was written, or is being written, and has not come back. */
interface Beat {
  /** Where it is in the WAL; undefined: the server has not said so. */
  lsn: Lsn | undefined;
  /** How many were due since, and were not written. */
  missed: number;
}

/** Writes messages into the WAL that must come back on the stream: then everything in between works. */
export class Heartbeat {
  readonly #prefix: string;
  readonly #interval: number;
  readonly #timeout: number;
  #pending: Beat | undefined;

  /** `interval`: milliseconds between two. `timeout`: wal_sender_timeout, within which also a walsender that is busy answers. */
  constructor(slot: string, interval: number, timeout: number) {
    this.#prefix = `walwatch:heartbeat:${slot}`;
    this.#interval = interval;
    this.#timeout = timeout;
  }

  /** A logical message was received. */
  heard(prefix: string): void {
    if (prefix === this.#prefix) this.#pending = undefined;
  }

  /**
   * Writes the next one. The one before may take as long as what is decoded before it; but once the walsender has passed
   * it, it has been sent.
   *
   * @throws WatchError CONNECTION when the one before was passed over, or two are due since, and nobody answers
   */
  async beat(session: Pick<Session, 'use'>, stream: StreamFacts): Promise<void> {
    const { paused, write, silence } = stream;
    const before = this.#pending;
    if (before) {
      before.missed++;
      if (before.lsn === undefined) {
        // While the stream brings something it is the session's own trouble, or the server's.
        if (this.#isLate(before) && (paused || silence >= patience)) throw unanswered(before.missed * this.#interval);
      } else if (!paused) {
        if (write >= before.lsn) throw passedOver(before.lsn);
        // A walsender that decodes much of which it sends nothing is silent as well, but not for that long.
        if (this.#isLate(before) && silence >= this.#timeout) throw silent(before.lsn, silence);
      }
      return;
    }
    if (paused) return;
    const beat: Beat = (this.#pending = { lsn: undefined, missed: 0 }); // it may come back before the answer
    const { rows } = await session.use((client) =>
      client.query<{ lsn: string }>(`select pg_catalog.pg_logical_emit_message(false, $1, '')::text as lsn`, [
        this.#prefix,
      ]),
    );
    beat.lsn = parseLsn(rows[0]!.lsn);
  }

  #isLate({ missed }: Beat): boolean {
    return missed >= 2 && missed * this.#interval >= patience;
  }
}

function unanswered(milliseconds: number): WatchError {
  return new WatchError(
    'CONNECTION',
    `a heartbeat could not be written: the server has not answered for ${milliseconds} ms`,
    {
      solution: 'walwatch connects again. Look for a network or host that went away without closing the connection.',
    },
  );
}

function passedOver(lsn: Lsn): WatchError {
  return new WatchError(
    'CONNECTION',
    `the heartbeat at ${formatLsn(lsn)} has not come back, although the server has passed it`,
    { solution: 'walwatch tries again. Does something between walwatch and PostgreSQL leave messages out?' },
  );
}

function silent(lsn: Lsn, silence: number): WatchError {
  return new WatchError(
    'CONNECTION',
    `the heartbeat at ${formatLsn(lsn)} has not come back, and the stream has been silent for ${silence} ms`,
    { solution: 'walwatch tries again. Look for a firewall or NAT that drops packets of one connection.' },
  );
}
