import { type Change, changeMessage } from './change.ts';
import { isMeant, type Wish } from './criterion.ts';
import type { History } from './history.ts';
import type { Trails } from './trails.ts';

/** A subscription that resumes from a number of the history. */
export interface Returning {
  readonly index: number;
  readonly wish: Wish | undefined;
  readonly trails: Trails;
  readonly from: number;
}

/** Changes to examine before other work gets its turn, and at most for one client. */
const slice = 2000;
const most = 50_000;

/** Finds what one client has missed, in steps. */
export class CatchUp {
  readonly #history: History;
  readonly #returning: readonly Returning[];
  readonly #limit: number;
  /** Missed changes by number, each with the subscriptions that match it. */
  readonly #missed = new Map<number, { readonly change: Change; readonly indexes: number[] }>();
  #bytes = 0;
  #looked = 0;

  constructor(history: History, returning: readonly Returning[], limit: number) {
    this.#history = history;
    this.#returning = returning;
    this.#limit = limit;
  }

  /** Yields to let other work run. Returns false if the history no longer has all missed changes, or they exceed a limit. */
  *run(): Generator<void, boolean> {
    const oldest = Math.min(...this.#returning.map(({ from }) => from));
    let done = 0;
    let upTo: number;
    do {
      upTo = this.#history.next;
      for (const one of this.#returning) {
        for (const trail of one.trails.for(one.wish)) {
          for (const [number, change] of this.#history.back(trail, Math.max(one.from, done))) {
            if (++this.#looked > most) return false;
            if (this.#looked % slice === 0) {
              yield;
              if (this.#history.first > oldest) return false;
            }
            // Changes that arrived since the round began belong to the next round.
            if (number < upTo && !this.#look(one, number, change)) return false;
          }
        }
      }
      done = upTo;
    } while (this.#history.next > upTo);
    return this.#history.first <= oldest;
  }

  /** The missed changes in commit order. */
  *messages(): Iterable<readonly Uint8Array[]> {
    const inOrder = [...this.#missed].toSorted(([a], [b]) => a - b);
    for (const [, { change, indexes }] of inOrder) yield changeMessage(change, indexes);
  }

  #look({ index, wish }: Returning, number: number, change: Change): boolean {
    const meant = wish === undefined || isMeant(change, wish);
    if (meant === 'unknown') return false;
    const there = this.#missed.get(number);
    if (!meant || there?.indexes.at(-1) === index) return true;
    if (there) there.indexes.push(index);
    else {
      this.#missed.set(number, { change, indexes: [index] });
      this.#bytes += change.body.byteLength + change.eventId.length;
    }
    return this.#bytes <= this.#limit;
  }
}
