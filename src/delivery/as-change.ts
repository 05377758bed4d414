import type { Change, EventContext } from '../types/delivery.ts';

/** An event and its context as one value. */
export function asChange(event: unknown, context: EventContext): Change {
  return { watcher: context.watcher, type: context.type, event, context };
}
