/** So many reads in so many milliseconds, and so many bytes a millisecond: the sender is not live, but catching up, or busy. */
const busy = { reads: 32, within: 16, rate: 2048 };
/** Bytes. Over TLS Node reads so much at once, else four times as much; a full read means that there is more. */
const fullRead = 16_384;
/** Reads without a pause at most. */
const burst = 64;
/** Bytes a millisecond, over a pause and the reads after it, below which the sender does not keep us busy: it is live again. */
const worthwhile = 1024;
/** So many of them in a row: between transactions it pauses as well. */
const vainPauses = 8;
/** Milliseconds. */
const longestPause = 8;
/** Bytes that may pile up in one pause: less than the sockets of both sides hold, so that the sender never has to wait. */
const pile = 200_000;
/** Bytes a millisecond for which a pause of one millisecond is long enough: who writes less hears sooner. */
const slow = 500;

/**
 * When to let data pile up. A walsender sends every message on its own; who reads each at once keeps it busy with waking
 * the reader. So while it is catching up, or busy, we look away for a few milliseconds and then read all there is, which
 * halves its work; while it is live, everything is read at once.
 */
export class ReadPace {
  #catchingUp = false;
  /** Of the reads since a moment: while live that of the first of them, else that at which the last pause began. */
  #reads = 0;
  #bytes = 0;
  #since = 0;
  #vain = 0;

  /** After a read of so many bytes, which ended at `now` (milliseconds). Returns how many to pause before the next one. */
  pauseAfter(bytes: number, now: number): number {
    if (!this.#catchingUp && (this.#reads === 0 || now - this.#since > busy.within)) this.#restart(now);
    this.#reads++;
    this.#bytes += bytes;
    const rate = this.#bytes / (now - this.#since);
    if (!this.#catchingUp) {
      if (this.#reads < busy.reads || rate < busy.rate) return 0;
      this.#catchingUp = true;
      this.#vain = 0;
      return this.#pause(1, now);
    }
    if (bytes >= fullRead && this.#reads < burst) return 0;
    this.#vain = rate < worthwhile ? this.#vain + 1 : 0;
    if (this.#vain < vainPauses) return this.#pause(pauseFor(rate), now);
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

/** Whole milliseconds: the more comes, the longer, as far as the sockets can hold it. At least one. */
function pauseFor(rate: number): number {
  return Math.max(1, Math.min(longestPause, Math.round(Math.min(rate / slow, pile / rate))));
}
