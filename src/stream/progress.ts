import { formatLsn, type Lsn, parseLsn } from '../postgres/lsn.ts';

/** How far the stream has come, over all connections. */
export class Progress {
  /** The furthest position outside of transactions that was received. */
  #received: Lsn = 0n;
  /** The furthest end of WAL that the server named. */
  #server: Lsn = 0n;
  #acknowledged: Lsn | undefined;
  #confirmed: string | undefined;

  get received(): string | undefined {
    return this.#received === 0n ? undefined : formatLsn(this.#received);
  }

  /** The last position that we sent as flushed. Undefined: another worker may have gone on since. */
  get acknowledged(): string | undefined {
    return this.#acknowledged === undefined ? undefined : formatLsn(this.#acknowledged);
  }

  /** Where the slot stands. */
  get confirmed(): string | undefined {
    return this.#confirmed;
  }

  /** Bytes of WAL that are not acknowledged. Undefined: not known yet. */
  get lag(): number | undefined {
    const end = this.#server > this.#received ? this.#server : this.#received;
    if (this.#confirmed === undefined || end === 0n) return undefined;
    return Math.max(0, Number(end - parseLsn(this.#confirmed)));
  }

  /** Where the slot stood when it was looked up. */
  found(confirmed: string | undefined): void {
    this.#confirmed ??= confirmed;
  }

  reached(lsn: Lsn): void {
    if (lsn > this.#received) this.#received = lsn;
  }

  serverReached(lsn: Lsn): void {
    if (lsn > this.#server) this.#server = lsn;
  }

  /** Returns where the slot stands now; undefined: where it stood before. */
  acknowledge(lsn: Lsn): string | undefined {
    this.#acknowledged = lsn;
    const text = formatLsn(lsn);
    if (text === this.#confirmed) return undefined;
    this.#confirmed = text;
    return text;
  }

  /** Another worker goes on with the slot. */
  forget(): void {
    this.#acknowledged = undefined;
  }
}
