import type { CapturedChange } from '../changes/change.ts';
import { isThenable } from '../delivery/thenable.ts';
import { Occurrence } from '../delivery/occurrence.ts';
import type { PlannedWatcher } from '../watchers/plan.ts';

/**
 * One change on its way to the subscriptions of one watcher, and then of the next. What it takes to deliver it is made for
 * the first that is meant.
 */
export class Routing {
  readonly change: CapturedChange;
  planned: PlannedWatcher;
  #occurrence: Occurrence | undefined;
  #kept: boolean | undefined;
  /** What the watcher's condition threw, which everybody is told who is meant. */
  error: unknown;

  constructor(planned: PlannedWatcher, change: CapturedChange) {
    this.change = change;
    this.planned = planned;
  }

  /** Goes on to the next watcher. */
  turn(planned: PlannedWatcher): void {
    this.planned = planned;
    this.#occurrence = this.#kept = this.error = undefined;
  }

  get occurrence(): Occurrence {
    return (this.#occurrence ??= new Occurrence(this.planned, this.change));
  }

  /** Whether the watcher's condition lets it pass, or threw. */
  get isKept(): boolean {
    const { when } = this.planned.bound.watcher;
    if (when === undefined) return true;
    return (this.#kept ??= this.#passes(when));
  }

  #passes(when: (event: unknown, previous: unknown) => boolean): boolean {
    const { event, previous } = this.occurrence;
    try {
      const kept: unknown = when(event, previous);
      // A promise counts as true, whatever becomes of it.
      if (isThenable(kept)) {
        Promise.resolve(kept).catch(() => {});
        throw new TypeError(`${this.planned.bound.watcher.name}: its condition is not synchronous`);
      }
      return Boolean(kept);
    } catch (error) {
      this.error = error ?? new TypeError('the condition threw undefined');
      return true;
    }
  }
}
