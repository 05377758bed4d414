import { WatchError } from '../errors.ts';
import { formatLsn, type Lsn, parseLsn } from '../postgres/lsn.ts';
import type { Session } from '../postgres/session.ts';
import { patience } from './timing.ts';

/** The stream's state, for the decision whether a heartbeat is overdue. */
export interface StreamFacts {
  readonly paused: boolean;
  /** The highest position that the server has reported. */
  readonly write: Lsn;
  /** Milliseconds since the last byte arrived. */
  readonly silence: number;
}

/** A heartbeat that is being written or has not come back yet. */
interface Beat {
  /** Its position in the WAL; undefined until the server has answered. */
  lsn: Lsn | undefined;
  /** Number of heartbeats that were due since then and were not written. */
  missed: number;
}

/** Writes messages into the WAL that must come back on the stream, which proves that everything in between works. */
export class Heartbeat {
  readonly #prefix: string;
  readonly #interval: number;
  readonly #timeout: number;
  #pending: Beat | undefined;

  /** `interval`: milliseconds between two heartbeats. `timeout`: wal_sender_timeout, within which even a busy walsender answers. */
  constructor(slot: string, interval: number, timeout: number) {
    this.#prefix = `walwatch:heartbeat:${slot}`;
    this.#interval = interval;
    this.#timeout = timeout;
  }

  /** A logical message was received. */
  received(prefix: string): void {
    if (prefix === this.#prefix) this.#pending = undefined;
  }

  /**
   * Writes the next heartbeat, unless the last one is still pending. It may be pending while the walsender decodes
   * earlier WAL, but not once the walsender has reported a later position.
   *
   * @throws WatchError CONNECTION when the server passed the last heartbeat without sending it, or when it is overdue and
   * the server does not answer
   */
  async beat(session: Pick<Session, 'use'>, stream: StreamFacts): Promise<void> {
    const { paused, write, silence } = stream;
    const before = this.#pending;
    if (before) {
      before.missed++;
      if (before.lsn === undefined) {
        // If the stream still delivers data, only this session has a problem, or the server is slow.
        if (this.#isLate(before) && (paused || silence >= patience)) throw unanswered(before.missed * this.#interval);
      } else if (!paused) {
        if (write >= before.lsn) throw passedOver(before.lsn);
        // A walsender that decodes much and sends nothing is silent too, but not for that long.
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
