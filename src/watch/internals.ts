import type { Failure, Recipient } from '../delivery/recipient.ts';
import type { OnError, Subscription } from '../types/delivery.ts';
import { ConfigurationError, type WatchError } from '../errors.ts';

/** Under this a watch shows to other entry points of the package what its users need not see. */
export const internals = Symbol('walwatch:internals');

/** Who is called with every event of every watcher. */
export interface Tap {
  readonly name: string;
  readonly handler: Recipient['handler'];
  readonly onError: OnError;
  /** How many handlers may run at once. They are begun in commit order and not held up by one another. */
  readonly concurrency: number;
}

export interface Internals {
  readonly slot: string;
  /** What is missing may be made. */
  readonly create: boolean;
  /** Known while streaming. */
  systemIdentifier(): string;
  /** Settles with the watch. */
  readonly over: Promise<void>;
  tap(recipient: Tap): Subscription & Recipient;
  failed(failure: Failure): void;
  warn(warning: WatchError): void;
}

/** @throws ConfigurationError for what `createWatch()` has not made */
export function internalsOf(watch: unknown): Internals {
  const found = (watch as { readonly [internals]?: Internals } | null | undefined)?.[internals];
  if (found) return found;
  throw new ConfigurationError([
    { message: 'this is no watch that owns a slot', solution: 'Pass what createWatch() returned.' },
  ]);
}
