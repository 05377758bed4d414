import type { Recipient } from '../delivery/recipient.ts';
import type { OnError } from '../types/delivery.ts';
import type { ExistingOptions } from '../types/existing.ts';
import { type ConfigurationIssue, throwIssues } from '../errors.ts';
import type { Router } from './router.ts';
import { RowStream } from './row-stream.ts';
import type { ExistingReader } from './existing-reader.ts';
import { ActiveSubscription } from './subscription.ts';

/** A handler that is called with every event of every watcher. */
export interface Tap {
  readonly name: string;
  readonly handler: Recipient['handler'];
  readonly onError: OnError;
  /** The maximum number of running handlers. They start in commit order and do not wait for each other. */
  readonly concurrency: number;
  /** Existing rows as well. */
  readonly existing?: string | ExistingOptions | undefined;
}

/** Subscribes to all events of all watchers. There is one lane, so handlers start in commit order. @throws ConfigurationError */
export function tap(
  router: Router,
  { name, handler, onError, concurrency, existing }: Tap,
  reader: ExistingReader,
): ActiveSubscription {
  const routes = [...router.routes.values()];
  const issues: ConfigurationIssue[] = [];
  const resolved = existing === undefined ? undefined : reader.resolve(existing, name, routes, issues);
  throwIssues(issues);
  const stream = new RowStream(router, routes, name);
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
  if (resolved !== undefined) reader.add(subscription, routes, resolved);
  return subscription;
}
