import { randomUUID } from 'node:crypto';
import type { Change } from './change.ts';
import type { Text } from './criterion.ts';
import type { Trail, Trails } from './trails.ts';

interface Entry {
  readonly id: string;
  /** Undefined: a mark. */
  readonly change: Change | undefined;
  readonly trails: readonly Trail[];
  /** For each trail, the number of the previous change on it. */
  readonly earlier: readonly number[];
  /** The memory that it takes. */
  readonly bytes: number;
}

/**
 * The last changes, numbered in the order in which they were sent to clients. Limited by number and by memory: the oldest
 * are dropped first.
 */
export class History {
  readonly #limit: number;
  readonly #most: number;
  /** A ring buffer: an entry is at its number modulo the limit. */
  readonly #entries: (Entry | undefined)[] = [];
  /** The first number of each id: all watchers of one change share its id. */
  readonly #numbers = new Map<string, number>();
  #first = 0;
  #next = 0;
  #bytes = 0;
  #position = '';
  /** The last change whose id a client may resume from. */
  #latest: Place | undefined;

  constructor(limit: number, bytes: number) {
    this.#limit = limit;
    this.#most = bytes;
    this.mark();
  }

  /** The id of a client that has seen everything so far. */
  get position(): string {
    return this.#position;
  }

  /** The number of the oldest entry. */
  get first(): number {
    return this.#first;
  }

  /** The number of the next entry: where a new client begins. */
  get next(): number {
    return this.#next;
  }

  /** `trails` are those of the change's watcher. */
  add(change: Change, trails: Trails): void {
    const place = placeOf(change.eventId);
    // An id that was here before (of another watcher, or delivered again) cannot be resumed from: the client may have received
    // it the first time.
    const known = this.#latest !== undefined && !isLater(place, this.#latest);
    if (!known) this.#latest = place;
    this.#push(change.eventId, !known, change, trails);
  }

  /** Separates earlier from later changes when no change lies between them. */
  mark(): void {
    this.#push(`start/${randomUUID()}`, true);
  }

  /** The number of the first change that a client with this id may have missed; undefined when the id has been dropped. */
  after(id: string): number | undefined {
    const number = this.#numbers.get(id);
    return number === undefined ? undefined : number + 1;
  }

  /** The changes of a trail that are still kept, from the last one back to `from`. */
  *back(trail: Trail, from: number): Iterable<readonly [number: number, change: Change]> {
    let number = trail.last;
    while (number >= from && number >= this.#first) {
      const { change, trails, earlier } = this.at(number);
      yield [number, change!];
      number = earlier[trails.indexOf(trail)]!;
    }
  }

  at(number: number): Entry {
    return this.#entries[number % this.#limit]!;
  }

  /** Forgets everything: no client can resume across this point. */
  cut(): void {
    while (this.#first < this.#next) this.#dropFirst();
    this.#latest = undefined;
    this.mark();
  }

  #push(id: string, findable: boolean, change?: Change, ofWatcher?: Trails): void {
    const number = this.#next++;
    this.#position = id;
    if (this.#limit === 0) {
      this.#first = this.#next;
      return;
    }
    if (number - this.#first >= this.#limit) this.#dropFirst();
    // Only after the oldest entry is dropped: it may have been the last one on a trail, which is removed then.
    const { trails, ...traits } = change && ofWatcher ? ofWatcher.of(change) : { trails: [] };
    const earlier = trails.map(({ last }) => last);
    const kept = change && { ...change, ...traits };
    const entry = { id, change: kept, trails, earlier, bytes: memoryOf(change, trails.length) };
    this.#entries[number % this.#limit] = entry;
    for (const trail of trails) {
      trail.last = number;
      trail.count++;
    }
    if (findable) this.#numbers.set(id, number);
    this.#bytes += entry.bytes;
    while (this.#bytes > this.#most) this.#dropFirst();
  }

  #dropFirst(): void {
    const number = this.#first++;
    const { id, trails, bytes } = this.at(number);
    this.#entries[number % this.#limit] = undefined;
    this.#bytes -= bytes;
    if (this.#numbers.get(id) === number) this.#numbers.delete(id);
    for (const trail of trails) if (--trail.count === 0) trail.remove();
  }
}

/** Measured and rounded up: an entry with its id and the header of its bytes, and its share of a trail. */
const entryBytes = 600;
const trailBytes = 300;

function memoryOf(change: Change | undefined, trails: number): number {
  const base = entryBytes + trails * trailBytes;
  if (!change) return base;
  return base + change.body.byteLength + characters(change.now) + characters(change.before);
}

/** A character takes two bytes, unless the whole text is Latin-1. */
const characters = (texts: readonly Text[]) => texts.reduce((sum, text) => sum + 2 * (text?.length ?? 0), 0);

type Place = readonly [high: number, low: number, ordinal: number];

/** The parts of an eventId, such as `16/B374D848/0`. */
function placeOf(eventId: string): Place {
  const [high, low, ordinal] = eventId.split('/');
  return [parseInt(high!, 16), parseInt(low!, 16), Number(ordinal)];
}

function isLater(place: Place, than: Place): boolean {
  const differs = place.findIndex((part, index) => part !== than[index]);
  return differs !== -1 && place[differs]! > than[differs]!;
}
