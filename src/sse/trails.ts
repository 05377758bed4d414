import type { Text, Traits, Wish } from './criterion.ts';

/** The kept changes that share one value: a chain from the last one back, stored in the history. */
export interface Trail {
  readonly text: Text;
  /** The number of the last one. */
  last: number;
  count: number;
  /** Removes the trail when none of its changes is kept. */
  readonly remove: () => void;
}

/**
 * Finds the kept changes of one watcher by new and old values of its filter columns, without a scan. Changes from before the
 * first filter by a column are not found by that column: no client filtered by it at that time.
 */
export class Trails {
  readonly all = makeTrail(undefined, () => {});
  readonly #columns: Map<Text, Trail>[] = [];

  /** The trails of a change, and its traits as strings that all changes on a trail share. */
  of({ now, before }: Traits): Traits & { readonly trails: readonly Trail[] } {
    const current = now.map((text, place) => trailOf(this.#column(place), text)); // undefined, for an unknown value, has a trail too
    const former = before.map((text, place) => (text === undefined ? undefined : trailOf(this.#column(place), text)));
    const others = former.filter((trail, place) => trail !== undefined && trail !== current[place]);
    return {
      trails: [this.all, ...current, ...(others as Trail[])],
      now: current.map(({ text }) => text),
      before: former.map((trail) => trail?.text),
    };
  }

  /** The trails that contain every change that matches a wish, or may match: by the column with the fewest changes. */
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
