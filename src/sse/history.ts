import { randomUUID } from 'node:crypto';
import type { Change } from './change.ts';
import type { Text } from './criterion.ts';
import type { Trail, Trails } from './trails.ts';

interface Entry {
  readonly id: string;
  /** Undefined: a mark. */
  readonly change: Change | undefined;
  readonly trails: readonly Trail[];
  /** For each trail the number of the change before on it. */
  readonly earlier: readonly number[];
  /** The memory that it takes. */
  readonly bytes: number;
}

/**
 * The last changes, in the order in which clients were sent them, numbered. Bounded by their number and by their memory: the
 * oldest go first.
 */
export class History {
  readonly #limit: number;
  readonly #most: number;
  /** In the place of their number modulo the limit. */
  readonly #entries: (Entry | undefined)[] = [];
  /** Where each id stands first: watchers of one change share it. */
  readonly #numbers = new Map<string, number>();
  #first = 0;
  #next = 0;
  #bytes = 0;
  #position = '';
  /** Of the last change whose id a client may go on from. */
  #latest: Place | undefined;

  constructor(limit: number, bytes: number) {
    this.#limit = limit;
    this.#most = bytes;
    this.mark();
  }

  /** The id of a client that has seen all until now. */
  get position(): string {
    return this.#position;
  }

  /** The number of the oldest that is kept. */
  get first(): number {
    return this.#first;
  }

  /** Of a client that begins now. */
  get next(): number {
    return this.#next;
  }

  /** `trails`: those of its watcher. */
  add(change: Change, trails: Trails): void {
    const place = placeOf(change.eventId);
    // Nobody goes on from an id that stood here before, be it of another watcher or delivered again: whoever has it may
    // have it from then.
    const known = this.#latest !== undefined && !isLater(place, this.#latest);
    if (!known) this.#latest = place;
    this.#push(change.eventId, !known, change, trails);
  }

  /** Parts what was from what comes, though no change stands between. */
  mark(): void {
    this.#push(`start/${randomUUID()}`, true);
  }

  /** The number of the first change that a client with this id may not have seen; undefined when that is not known any more. */
  after(id: string): number | undefined {
    const number = this.#numbers.get(id);
    return number === undefined ? undefined : number + 1;
  }

  /** The changes of a trail from the last one back to `from`, as far as they are kept. */
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

  /** Nobody goes on across this point. */
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
    // Not before the oldest is gone: that may have been the last on a trail, which is then forgotten.
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

/** Measured, and rounded up: an entry with its id and its bytes' header, and its share of a trail. */
const entryBytes = 600;
const trailBytes = 300;

function memoryOf(change: Change | undefined, trails: number): number {
  const base = entryBytes + trails * trailBytes;
  if (!change) return base;
  return base + change.body.byteLength + characters(change.now) + characters(change.before);
}

/** A character takes two bytes unless all of a text are Latin-1. */
const characters = (texts: readonly Text[]) => texts.reduce((sum, text) => sum + 2 * (text?.length ?? 0), 0);

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
