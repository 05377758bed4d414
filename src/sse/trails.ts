import type { Text, Traits, Wish } from './criterion.ts';

/** The kept changes that have one value in common: a chain from the last one back, which the history holds. */
export interface Trail {
  readonly text: Text;
  /** The number of the last one. */
  last: number;
  count: number;
  /** Forgets the trail: its last change is not kept any more. */
  readonly remove: () => void;
}

/**
 * Finds the kept changes of one watcher by the new and the old values of its filter columns, without looking at any other.
 * Changes from before a column was filtered by are not found by it: whoever filters by it now did not do so then.
 */
export class Trails {
  readonly all = makeTrail(undefined, () => {});
  readonly #columns: Map<Text, Trail>[] = [];

  /** Those that a change belongs to, and its traits as strings that all changes on a trail share. */
  of({ now, before }: Traits): Traits & { readonly trails: readonly Trail[] } {
    const current = now.map((text, place) => trailOf(this.#column(place), text)); // undefined as well: that it is not known
    const former = before.map((text, place) => (text === undefined ? undefined : trailOf(this.#column(place), text)));
    const others = former.filter((trail, place) => trail !== undefined && trail !== current[place]);
    return {
      trails: [this.all, ...current, ...(others as Trail[])],
      now: current.map(({ text }) => text),
      before: former.map((trail) => trail?.text),
    };
  }

  /** Those that together hold each change that a wish means, or may mean: by the column with the fewest. */
  for(wish: Wish | undefined): readonly Trail[] {
    if (!wish) return [this.all];
    let best: readonly Trail[] | undefined;
    for (const [at, place] of wish.places.entries()) {
      const column = this.#columns[place];
      const some = [column?.get(wish.texts[at]), column?.get(undefined)].filter((trail) => trail !== undefined);
      if (!best || length(some) < length(best)) best = some;
    }
    return best!;
  }

  #column(place: number): Map<Text, Trail> {
    return (this.#columns[place] ??= new Map());
  }
}

function trailOf(column: Map<Text, Trail>, text: Text): Trail {
  let trail = column.get(text);
  if (!trail) column.set(text, (trail = makeTrail(text, () => void column.delete(text))));
  return trail;
}

const makeTrail = (text: Text, remove: () => void): Trail => ({ text, last: -1, count: 0, remove });
const length = (trails: readonly Trail[]) => trails.reduce((sum, { count }) => sum + count, 0);
