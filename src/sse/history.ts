import { randomUUID } from 'node:crypto';
import type { Change } from './change.ts';

interface Entry {
  readonly id: string;
  /** Undefined: a mark. */
  readonly change: Change | undefined;
}

/**
 * The last changes, in the order in which clients were sent them, numbered. Bounded by their number and by their size: the
 * oldest go first.
 */
export class History {
  readonly #limit: number;
  readonly #characters: number;
  /** In the place of their number modulo the limit. */
  readonly #entries: (Entry | undefined)[] = [];
  /** Where each id stands first: watchers of one change share it. */
  readonly #numbers = new Map<string, number>();
  #first = 0;
  #next = 0;
  #size = 0;
  #position = '';
  /** Of the last change whose id a client may go on from. */
  #latest: Place | undefined;

  constructor(limit: number, characters: number) {
    this.#limit = limit;
    this.#characters = characters;
    this.mark();
  }

  /** The id of a client that has seen all until now. */
  get position(): string {
    return this.#position;
  }

  add(change: Change): void {
    const place = placeOf(change.eventId);
    // Nobody goes on from an id that stood here before, be it of another watcher or delivered again: whoever has it may
    // have it from then.
    const known = this.#latest !== undefined && !isLater(place, this.#latest);
    if (!known) this.#latest = place;
    this.#push({ id: change.eventId, change }, !known);
  }

  /** Parts what was from what comes, though no change stands between. Returns the number of what comes next. */
  mark(): number {
    this.#push({ id: `start/${randomUUID()}`, change: undefined }, true);
    return this.#next;
  }

  /** The number of the first change that a client with this id may not have seen; undefined when that is not known any more. */
  after(id: string): number | undefined {
    const number = this.#numbers.get(id);
    return number === undefined ? undefined : number + 1;
  }

  /** Of a client that begins now. */
  get next(): number {
    return this.#next;
  }

  *since(number: number): Iterable<readonly [number: number, change: Change]> {
    for (let at = Math.max(number, this.#first); at < this.#next; at++) {
      const { change } = this.#entries[at % this.#limit]!;
      if (change) yield [at, change];
    }
  }

  /** Nobody goes on across this point. */
  cut(): void {
    while (this.#first < this.#next) this.#dropFirst();
    this.#latest = undefined;
    this.mark();
  }

  #push(entry: Entry, findable: boolean): void {
    const number = this.#next++;
    this.#position = entry.id;
    if (this.#limit === 0) {
      this.#first = this.#next;
      return;
    }
    if (number - this.#first >= this.#limit) this.#dropFirst();
    this.#entries[number % this.#limit] = entry;
    if (findable) this.#numbers.set(entry.id, number);
    this.#size += entry.change?.body.length ?? 0;
    while (this.#size > this.#characters) this.#dropFirst();
  }

  #dropFirst(): void {
    const number = this.#first++;
    const place = number % this.#limit;
    const { id, change } = this.#entries[place]!;
    this.#entries[place] = undefined;
    this.#size -= change?.body.length ?? 0;
    if (this.#numbers.get(id) === number) this.#numbers.delete(id);
  }
}

type Place = readonly [high: number, low: number, ordinal: number];

/** Of an eventId, `16/B374D848/0`. */
function placeOf(eventId: string): Place {
  const [high, low, ordinal] = eventId.split('/');
  return [parseInt(high!, 16), parseInt(low!, 16), Number(ordinal)];
}

function isLater(place: Place, than: Place): boolean {
  const differs = place.findIndex((part, index) => part !== than[index]);
  return differs !== -1 && place[differs]! > than[differs]!;
}
