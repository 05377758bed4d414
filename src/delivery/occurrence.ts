import type { WatchError } from '../errors.ts';
import { type Event, makeEvent, makePrevious, recordKey } from '../watchers/event.ts';
import { currentText, type PlannedWatcher, previousText } from '../watchers/plan.ts';
import type { CapturedChange } from './change.ts';

const nothing: Event = Object.freeze({});

/** A change as one watcher sees it: shared by all subscriptions that it is delivered to. */
export class Occurrence {
  readonly planned: PlannedWatcher;
  readonly change: CapturedChange;
  readonly event: Event;
  readonly absent: readonly string[];
  #previous: Event | undefined;

  constructor(planned: PlannedWatcher, change: CapturedChange) {
    const { event, absent } = makeEvent(planned, change.row, change.old);
    this.planned = planned;
    this.change = change;
    this.event = event;
    this.absent = absent;
  }

  get previous(): Event {
    const { planned, change } = this;
    if (change.type !== 'updated') return nothing;
    return (this.#previous ??= makePrevious(planned, change.row, change.old));
  }

  /** The records it concerns: two when the primary key changed, one otherwise. */
  get records(): readonly string[] {
    const { planned, change } = this;
    const { row, old } = change;
    const now = recordKey(planned.primaryKey, (column) => currentText(column, row, old)) ?? '';
    if (old === undefined) return [now];
    const before = recordKey(planned.primaryKey, (column) => previousText(column, row, old));
    return before === undefined || before === now ? [now] : [now, before];
  }
}

/** Why an occurrence cannot be handled by a subscription before its handler is even called. */
export type Obstacle = WatchError | undefined;
