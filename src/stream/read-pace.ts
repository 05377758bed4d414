/** At least `reads` reads within `within` ms and `rate` bytes per ms: the sender is catching up or busy. */
const busy = { reads: 32, within: 16, rate: 2048 };
/** Bytes that Node reads at once over TLS; without TLS four times as many. A full read means that more data is waiting. */
const fullRead = 16_384;
/** Maximum number of reads without a pause. */
const burst = 64;
/** Bytes per ms, over a pause and the reads after it, below which the sender does not keep us busy. */
const worthwhile = 1024;
/** Consecutive pauses below `worthwhile` after which the sender counts as live: it also pauses between transactions. */
const fruitlessPauses = 8;
/** Milliseconds. */
const longestPause = 8;
/** Maximum bytes to let accumulate in one pause: less than the sockets of both sides hold, so that the sender never blocks. */
const pile = 200_000;
/** Bytes per ms for which a pause of 1 ms is enough. With a slower sender, longer pauses would only add latency. */
const slow = 500;

/**
 * Decides when to let data accumulate. A walsender sends every message separately, and waking a reader for each of them
 * takes much of its time. So while it is catching up or busy, we wait a few milliseconds and then read everything, which
 * halves its work. While it is live, everything is read at once.
 */
export class ReadPace {
  #catchingUp = false;
  /** Counters since `#since`: the first read of the present measurement while live, otherwise the start of the last pause. */
  #reads = 0;
  #bytes = 0;
  #since = 0;
  #fruitless = 0;

  /** Called after a read of `bytes` bytes that ended at `now` (milliseconds). Returns the milliseconds to pause before the next read. */
  pauseAfter(bytes: number, now: number): number {
    if (!this.#catchingUp && (this.#reads === 0 || now - this.#since > busy.within)) this.#restart(now);
    this.#reads++;
    this.#bytes += bytes;
    const rate = this.#bytes / (now - this.#since);
    if (!this.#catchingUp) {
      if (this.#reads < busy.reads || rate < busy.rate) return 0;
      this.#catchingUp = true;
      this.#fruitless = 0;
      return this.#pause(1, now);
    }
    if (bytes >= fullRead && this.#reads < burst) return 0;
    this.#fruitless = rate < worthwhile ? this.#fruitless + 1 : 0;
    if (this.#fruitless < fruitlessPauses) return this.#pause(pauseFor(rate), now);
    this.#catchingUp = false;
    this.#reads = 0;
    return 0;
  }

  #pause(length: number, now: number): number {
    this.#restart(now);
    return length;
  }

  #restart(now: number): void {
    this.#reads = 0;
    this.#bytes = 0;
    this.#since = now;
  }
}

/** Whole milliseconds, at least one: longer for a higher rate, as long as the sockets can hold the data. */
function pauseFor(rate: number): number {
  return Math.max(1, Math.min(longestPause, Math.round(Math.min(rate / slow, pile / rate))));
}
