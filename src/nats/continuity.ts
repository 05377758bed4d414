import type { StreamInfo, StreamState } from '@nats-io/jetstream';

/** Where reading stands, from one attempt to the next, and for a group from one process to the next. */
export interface Position {
  /** Tells a stream from another of the same name. */
  created: string | undefined;
  /** The same of the consumer of a group. */
  consumer: string | undefined;
  /** All before this message is read: taken by a live watch, handled by a group, or of no interest to it. */
  next: number;
}

/** What was found when an attempt begins. */
export interface Located {
  /** The stream is another one than before. */
  readonly isOther: boolean;
  readonly missed: string | undefined;
}

/** Deleted messages are listed one by one up to so many. */
const listed = 100_000;
/** Ranges are kept apart up to so many. */
const ranges = 1000;

/** Compares what a stream has with what was read of it, and tells what is gone unread. */
export class Continuity {
  readonly #position: Position;
  readonly #stream: string;
  /** What was passed over since the last look: by a filter, or because it is gone. */
  #passed: { readonly from: number; to: number }[] = [];
  /** Of the deleted messages in the middle of the stream, as of the last look. */
  #deleted: readonly number[] = [];
  #looked = '';

  constructor(position: Position, stream: string) {
    this.#position = position;
    this.#stream = stream;
  }

  /** Where to begin, and whether the stream still has what came since the last time. */
  locate({ created, state }: StreamInfo): Located {
    const position = this.#position;
    const { created: before, next } = position;
    position.created = created;
    if (before === undefined) position.next = state.last_seq + 1;
    else if (before !== created) return this.#begunAgain(`the stream '${this.#stream}' was deleted and made anew`);
    else if (state.last_seq < next - 1) {
      return this.#begunAgain(
        `the stream '${this.#stream}' ends at message ${state.last_seq}, before what was read (${next - 1}): it was restored, or lost its last messages`,
      );
    }
    return { isOther: false, missed: this.look(state, position.next) };
  }

  /**
   * The consumer of the group is there. It may be another than before, and begin behind what was not read: who makes it does
   * not know what that was.
   */
  meet(created: string, start: number): string | undefined {
    const position = this.#position;
    const isOther = position.consumer !== undefined && position.consumer !== created;
    position.consumer = created;
    if (!isOther || start <= position.next) return undefined;
    const missed = this.#text(position.next, start - 1, start - position.next);
    position.next = start;
    return `${missed}: the consumer was deleted and made anew behind them`;
  }

  /** A message has come, and all before it will not. */
  advance(next: number): void {
    const position = this.#position;
    if (next > position.next) {
      const last = this.#passed.at(-1);
      if (last && (last.to === position.next - 1 || this.#passed.length >= ranges)) last.to = next - 1;
      else this.#passed.push({ from: position.next, to: next - 1 });
    }
    position.next = Math.max(position.next, next);
  }

  /** Whether the deleted messages in the middle have to be listed for the next look. */
  listsDeleted({ first_seq: first, num_deleted: count = 0 }: Partial<StreamState>): boolean {
    const looked = `${first} ${count}`;
    if (count === 0) this.#deleted = [];
    if (count === 0 || count > listed || looked === this.#looked) return false;
    this.#looked = looked;
    return true;
  }

  deleted(list: readonly number[]): void {
    this.#deleted = list;
  }

  /** What was dropped unread since the last look. `next`: all before it is read by now, as far as it was there. */
  look({ first_seq: first }: StreamState, next: number): string | undefined {
    const position = this.#position;
    if (first > position.next) this.advance(first);
    this.advance(next);
    let [from, to, count] = [Infinity, 0, 0];
    const lost = (begin: number, end: number) => {
      [from, to, count] = [Math.min(from, begin), Math.max(to, end), count + end - begin + 1];
    };
    for (const passed of this.#passed) {
      if (passed.from < first) lost(passed.from, Math.min(passed.to, first - 1));
      for (const seq of this.#deleted) if (seq >= Math.max(passed.from, first) && seq <= passed.to) lost(seq, seq);
    }
    this.#passed = [];
    if (count === 0) return undefined;
    return `${this.#text(from, to, count)} were dropped before they were read: purged, deleted, or older or more than the stream keeps`;
  }

  #text(from: number, to: number, count: number): string {
    return `${count} messages from ${from} to ${to} of the stream '${this.#stream}'`;
  }

  #begunAgain(missed: string): Located {
    this.#position.next = 1;
    this.#position.consumer = undefined;
    this.#passed = [];
    this.#deleted = [];
    this.#looked = '';
    return { isOther: true, missed };
  }
}
