import type { EventContext, SlotWatch } from '../../src/index.ts';

/** Subscribes, to all or to what a filter names, and keeps what comes. */
export function recorder(watch: SlotWatch<any>, watcher: string, filter?: Record<string, unknown>) {
  const events: any[] = [];
  const contexts: EventContext[] = [];
  const handler = (event: unknown, context: EventContext) => {
    events.push(event);
    contexts.push(context);
  };
  if (filter) watch.subscribe(watcher, filter, handler);
  else watch.subscribe(watcher, handler);
  return { events, contexts };
}
