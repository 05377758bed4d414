import type { StreamInfo, StreamState } from '@nats-io/jetstream';

/** The position of reading. It outlives attempts and, for a group, processes. */
export interface Position {
  /** When the stream was created: distinguishes it from another stream with the same name. */
  created: string | undefined;
  /** When the group's consumer was created. */
  consumer: string | undefined;
  /** All messages before this one are done: received (without a group), handled (by a group), or filtered out. */
  next: number;
}

/** What an attempt finds when it starts. */
export interface Located {
  /** The stream is not the one that was read before. */
  readonly isOther: boolean;
  readonly missed: string | undefined;
}

/** With more deleted messages than this, they are not listed one by one. */
const listed = 100_000;
/** With more ranges than this, new ones are merged into the last. */
const ranges = 1000;

/** Compares a stream with the position of reading, and finds messages that were dropped unread. */
export class Continuity {
  readonly #position: Position;
  readonly #stream: string;
  /** Ranges skipped since the last check: filtered out, or dropped. */
  #passed: { readonly from: number; to: number }[] = [];
  /** Deleted messages in the middle of the stream, as of the last check. */
  #deleted: readonly number[] = [];
  #looked = '';

  constructor(position: Position, stream: string) {
    this.#position = position;
    this.#stream = stream;
  }

  /** Finds where to begin, and whether the stream still has all messages since the last attempt. */
  locate({ created, state }: StreamInfo): Located {
    const position = this.#position;
    const { created: before, next } = position;
    position.created = created;
    if (before === undefined) position.next = state.last_seq + 1;
    else if (before !== created) return this.#begunAgain(`the stream '${this.#stream}' was deleted and re-created`);
    else if (state.last_seq < next - 1) {
      return this.#begunAgain(
        `the stream '${this.#stream}' ends at message ${state.last_seq}, but message ${next - 1} was already read: the stream was restored from a backup or lost its last messages`,
      );
    }
    return { isOther: false, missed: this.look(state, position.next) };
  }

  /**
   * Checks the consumer of the group. If it was re-created, it may begin after messages that were not read yet, because whoever
   * created it does not know the group's position.
   */
  meet(created: string, start: number): string | undefined {
    const position = this.#position;
    const isOther = position.consumer !== undefined && position.consumer !== created;
    position.consumer = created;
    if (!isOther || start <= position.next) return undefined;
    const missed = this.#text(position.next, start - 1, start - position.next);
    position.next = start;
    return `${missed} were skipped: the consumer was deleted and re-created with a start position after them`;
  }

  /** A message has arrived: no message before it will follow. */
  advance(next: number): void {
    const position = this.#position;
    if (next > position.next) {
      const last = this.#passed.at(-1);
      if (last && (last.to === position.next - 1 || this.#passed.length >= ranges)) last.to = next - 1;
      else this.#passed.push({ from: position.next, to: next - 1 });
    }
    position.next = Math.max(position.next, next);
  }

  /** Whether the next check needs a list of the deleted messages in the middle. */
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

  /** Describes the messages that were dropped unread since the last check. `next`: all existing messages before it are read. */
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
