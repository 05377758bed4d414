import type { Recipient } from '../delivery/recipient.ts';
import type { OnError } from '../types/delivery.ts';
import type { Router } from './router.ts';
import { ActiveSubscription } from './subscription.ts';

/** Who is called with every event of every watcher. */
export interface Tap {
  readonly name: string;
  readonly handler: Recipient['handler'];
  readonly onError: OnError;
  /** How many handlers may run at once. They are begun in commit order and not held up by one another. */
  readonly concurrency: number;
}

/** One subscription to all events of all watchers, with one lane, so that it is called in commit order. */
export function tap({ routes }: Router, { name, handler, onError, concurrency }: Tap): ActiveSubscription {
  const registry = {
    name,
    remove: (subscription: ActiveSubscription) => {
      for (const route of routes.values()) route.remove(subscription);
    },
  };
  const settings = {
    name,
    onError,
    concurrency,
    timeout: undefined,
    transaction: false,
    batch: undefined,
    pipelined: true,
  };
  const subscription = new ActiveSubscription(registry, undefined, handler, settings);
  for (const route of routes.values()) route.add(subscription);
  return subscription;
}
