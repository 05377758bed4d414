import { WatchError } from '../errors.ts';
import { formatLsn, type Lsn, parseLsn } from '../postgres/lsn.ts';
import type { Session } from '../postgres/session.ts';

const maximumLsn = 0xffff_ffff_ffff_ffffn;

/** Writes messages into the WAL that must come back on the stream: then everything in between works. */
export class Heartbeat {
  readonly #prefix: string;
  /** Of the one that was written and has not come back. */
  #pending: Lsn | undefined;

  constructor(slot: string) {
    this.#prefix = `walwatch:heartbeat:${slot}`;
  }

  /** A logical message was received. */
  heard(prefix: string): void {
    if (prefix === this.#prefix) this.#pending = undefined;
  }

  /**
   * Writes the next one. The one before may take as long as what is decoded before it; but once the walsender has passed
   * it, it has been sent.
   *
   * @throws WatchError CONNECTION when the one before was passed over
   */
  async beat(session: Session, { paused, write }: { readonly paused: boolean; readonly write: Lsn }): Promise<void> {
    const before = this.#pending;
    if (before !== undefined) {
      if (paused || write < before) return;
      throw new WatchError(
        'CONNECTION',
        `the heartbeat at ${formatLsn(before)} has not come back, although the server has passed it`,
        { solution: 'walwatch tries again. Does something between walwatch and PostgreSQL leave messages out?' },
      );
    }
    this.#pending = maximumLsn; // it may come back before the answer
    const { rows } = await session.use((client) =>
      client.query<{ lsn: string }>(`select pg_catalog.pg_logical_emit_message(false, $1, '')::text as lsn`, [
        this.#prefix,
      ]),
    );
    if (this.#pending !== undefined) this.#pending = parseLsn(rows[0]!.lsn);
  }
}
