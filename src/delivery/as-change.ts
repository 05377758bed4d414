import type { Change, EventContext } from '../types/delivery.ts';

/** Combines an event and its context into one value. */
export function asChange(event: unknown, context: EventContext): Change {
  return { watcher: context.watcher, type: context.type, event, context };
}
