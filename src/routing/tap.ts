import type { Recipient } from '../delivery/recipient.ts';
import type { OnError } from '../types/delivery.ts';
import type { Router } from './router.ts';
import { RowStream } from './row-stream.ts';
import { ActiveSubscription } from './subscription.ts';

/** A handler that is called with every event of every watcher. */
export interface Tap {
  readonly name: string;
  readonly handler: Recipient['handler'];
  readonly onError: OnError;
  /** The maximum number of running handlers. They start in commit order and do not wait for each other. */
  readonly concurrency: number;
}

/** Subscribes to all events of all watchers. There is one lane, so handlers start in commit order. */
export function tap(router: Router, { name, handler, onError, concurrency }: Tap): ActiveSubscription {
  const stream = new RowStream(router, [...router.routes.values()], name);
  const settings = {
    name,
    onError,
    concurrency,
    timeout: undefined,
    transaction: false,
    batch: undefined,
    pipelined: true,
  };
  const subscription = new ActiveSubscription(stream, undefined, handler, settings);
  stream.add(subscription);
  return subscription;
}
