import type { CapturedChange } from '../changes/change.ts';
import { isThenable } from '../delivery/thenable.ts';
import { Occurrence } from '../delivery/occurrence.ts';
import type { PlannedWatcher } from '../watchers/plan.ts';

/**
 * Routes one change to the subscriptions of one watcher, then of the next. Objects needed for delivery are created for
 * the first matching subscription.
 */
export class Routing {
  readonly change: CapturedChange;
  planned: PlannedWatcher;
  #occurrence: Occurrence | undefined;
  #kept: boolean | undefined;
  /** The error that the watcher's condition threw; every matching subscription receives it. */
  error: unknown;

  constructor(planned: PlannedWatcher, change: CapturedChange) {
    this.change = change;
    this.planned = planned;
  }

  /** Switches to the next watcher. */
  turn(planned: PlannedWatcher): void {
    this.planned = planned;
    this.#occurrence = this.#kept = this.error = undefined;
  }

  get occurrence(): Occurrence {
    return (this.#occurrence ??= new Occurrence(this.planned, this.change));
  }

  /** Whether the watcher's condition accepted the change, or threw. */
  get isKept(): boolean {
    const { when } = this.planned.bound.watcher;
    if (when === undefined) return true;
    return (this.#kept ??= this.#passes(when));
  }

  #passes(when: (event: unknown, previous: unknown) => boolean): boolean {
    const { event, previous } = this.occurrence;
    try {
      const kept: unknown = when(event, previous);
      // A promise is always truthy, so it is an error. Its rejection is ignored.
      if (isThenable(kept)) {
        Promise.resolve(kept).catch(() => {});
        throw new TypeError(
          `${this.planned.bound.watcher.name}: the condition must be synchronous, but it returned a promise`,
        );
      }
      return Boolean(kept);
    } catch (error) {
      this.error = error ?? new TypeError('the condition threw undefined');
      return true;
    }
  }
}
