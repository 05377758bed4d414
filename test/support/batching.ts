import type { BatchOptions } from '../../src/types/delivery.ts';
import { dispatching, recipient } from './delivering.ts';
import { type Deferred, deferred } from './until.ts';

export interface Call extends Deferred<void> {
  readonly events: readonly { readonly id: number }[];
  readonly context: any;
}

/** A dispatcher and one subscription to batches. The test ends each call of its handler. */
export function batching(
  batch: Partial<BatchOptions>,
  settings: Parameters<typeof recipient>[1] = {},
  options: Parameters<typeof dispatching>[0] = {},
) {
  const calls: Call[] = [];
  const one = recipient(
    (events, context) => {
      const done = deferred();
      calls.push({ ...done, events, context });
      return done.promise;
    },
    { ...settings, batch: { size: 100, wait: 0, latest: false, ...batch } },
  );
  const delivery = dispatching(options);
  return {
    ...delivery, one, calls,
    /** Ids, batch by batch. */
    ids: () => calls.map(({ events }) => events.map(({ id }) => id)),
    sendAll: (...ids: readonly string[]) => {
      for (const id of ids) delivery.send(one, id);
    },
  }; // prettier-ignore
}
