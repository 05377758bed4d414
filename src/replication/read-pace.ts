/** Milliseconds between two reads below which they count as one stream of data without a break. */
const gap = 0.25;
/** So many reads without a break, and the sender is catching up, not live. */
const tightReads = 32;
/** Bytes. Node reads so much at once; a full read means that there is more. */
const fullRead = 65_536;
/** Bytes in one pause below which the sender does not keep up with us: it is live again. */
const worthwhile = 1024;
/** So many of them in a row: between transactions it pauses as well. */
const vainPauses = 8;
/** Reads without a pause: a sender whose reader is behind sends larger pieces. */
const burst = 8;

/**
 * When to let data pile up. A walsender sends every message on its own; who reads each at once keeps it busy with waking
 * the reader. So while it is catching up, we read all there is and then look away for a millisecond, which halves its
 * work; while it is live, everything is read at once.
 */
export class ReadPace {
  #tight = 0;
  #catchingUp = false;
  #paused = false;
  #last = 0;
  #vain = 0;
  #burst = 0;

  /** After a read of so many bytes, which ended at `now` (milliseconds). Returns whether to pause before the next one. */
  shouldPause(bytes: number, now: number): boolean {
    const afterPause = this.#paused;
    this.#paused = false;
    this.#tight = now - this.#last < gap || afterPause ? this.#tight + 1 : 0;
    this.#last = now;
    if (afterPause) this.#vain = bytes < worthwhile ? this.#vain + 1 : 0;
    if (this.#vain >= vainPauses) {
      this.#catchingUp = false;
      this.#tight = 0;
      this.#vain = 0;
    } else if (this.#tight >= tightReads) this.#catchingUp = true;
    this.#burst = afterPause ? 1 : this.#burst + 1;
    this.#paused = this.#catchingUp && (bytes < fullRead || this.#burst >= burst);
    return this.#paused;
  }
}
