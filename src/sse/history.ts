import { randomUUID } from 'node:crypto';
import type { Change } from './change.ts';

/**
 * The last changes, in the order in which clients were sent them, numbered from 0. Bounded by their number and by their
 * size: the oldest go first.
 */
export class History {
  readonly #limit: number;
  readonly #characters: number;
  /** In the place of their number modulo the limit. */
  readonly #changes: (Change | undefined)[] = [];
  /** Where each eventId stands first: watchers of one change share it. */
  readonly #numbers = new Map<string, number>();
  #first = 0;
  #next = 0;
  #size = 0;
  /** Stands for the position before `#originNumber`, where no change has an id for it. */
  #origin = newOrigin();
  #originNumber = 0;
  #position = this.#origin;

  constructor(limit: number, characters: number) {
    this.#limit = limit;
    this.#characters = characters;
  }

  /** The number of the next change. */
  get next(): number {
    return this.#next;
  }

  /** The id of a client that has seen all until now. */
  get position(): string {
    return this.#position;
  }

  add(change: Change): void {
    const number = this.#next++;
    this.#position = change.eventId;
    this.#size += change.body.length;
    if (this.#limit === 0) {
      this.#first = this.#next;
      this.#size = 0;
      return;
    }
    if (number - this.#first >= this.#limit) this.#dropFirst();
    this.#changes[number % this.#limit] = change;
    if (!this.#numbers.has(change.eventId)) this.#numbers.set(change.eventId, number);
    while (this.#size > this.#characters && this.#first < this.#next) this.#dropFirst();
  }

  /** The number of the first change that a client with this id may not have seen; undefined when that is not known any more. */
  after(id: string): number | undefined {
    if (id === this.#origin) return this.#first <= this.#originNumber ? this.#originNumber : undefined;
    const number = this.#numbers.get(id);
    return number === undefined ? undefined : number + 1;
  }

  *since(number: number): Iterable<readonly [number: number, change: Change]> {
    for (let at = Math.max(number, this.#first); at < this.#next; at++) yield [at, this.#changes[at % this.#limit]!];
  }

  /** Nobody goes on across this point. */
  cut(): void {
    this.#changes.length = 0;
    this.#numbers.clear();
    this.#size = 0;
    this.#first = this.#next;
    this.#originNumber = this.#next;
    this.#position = this.#origin = newOrigin();
  }

  #dropFirst(): void {
    const number = this.#first++;
    const place = number % this.#limit;
    const { eventId, body } = this.#changes[place]!;
    this.#changes[place] = undefined;
    this.#size -= body.length;
    if (this.#numbers.get(eventId) === number) this.#numbers.delete(eventId);
  }
}

const newOrigin = () => `start/${randomUUID()}`;
