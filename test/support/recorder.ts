import type { EventContext, SlotWatch } from '../../src/index.ts';

/** A handler, listener or callback that keeps what it is called with. */
export interface Recorder<Call extends readonly any[], Kept> {
  (...call: Call): void;
  /** The kept value of each call, in order. */
  readonly all: Kept[];
  /** The contexts, if it is a handler. */
  readonly contexts: EventContext[];
}

/**
 * Keeps the first argument of each call, or what `keep` returns. For example `watch.on('warning', warnings)`, and then
 * `expect(warnings.all)`.
 */
export function recorder<Kept = any>(): Recorder<[value: Kept, context?: any, ...rest: unknown[]], Kept>;
export function recorder<Call extends readonly any[], Kept>(keep: (...call: Call) => Kept): Recorder<Call, Kept>;
export function recorder(keep: (...call: any[]) => unknown = (first: unknown) => first): Recorder<any[], unknown> {
  const all: unknown[] = [];
  const contexts: EventContext[] = [];
  const record = (...call: unknown[]) => {
    all.push(keep(...call));
    if (call.length > 1) contexts.push(call[1] as EventContext);
  };
  return Object.assign(record, { all, contexts });
}

/** A recorder that is subscribed: to all events of a watcher, or to those that a filter selects. */
export function recorderOn(watch: SlotWatch<any>, watcher: string, filter?: Record<string, unknown>) {
  const record = recorder();
  if (filter) watch.subscribe(watcher, filter, record);
  else watch.subscribe(watcher, record);
  return record;
}
