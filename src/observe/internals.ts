import type { HandlerObserver } from '../delivery/handler-hook.ts';
import type { Failure, Recipient } from '../delivery/recipient.ts';
import type { Tap } from '../routing/tap.ts';
import type { Subscription } from '../types/delivery.ts';
import type { SlotWatchStatus } from '../types/events.ts';
import { ConfigurationError, type WatchError } from '../errors.ts';

/** Under this a watch shows to other entry points of the package what its users need not see. */
export const internals = Symbol('walwatch:internals');

/** What a watch measures besides its status: for `collectMetrics`. */
export interface Measurements {
  status(): SlotWatchStatus;
  /** Undefined before `start()` and while standing by. */
  lagSeconds(): number | undefined;
  /** Bytes, looked at from time to time; undefined until it was. */
  retainedWal(): number | undefined;
  /** Bytes; undefined: no limit, or not known yet. */
  retainedWalLimit(): number | undefined;
  /** How often it has streamed, less the first time. */
  reconnects(): number;
  observe(observer: HandlerObserver): void;
}

export interface Internals {
  readonly measurements: Measurements;
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
  const found = findInternals(watch);
  if (found) return found;
  throw new ConfigurationError([
    { message: 'this is no watch that owns a slot', solution: 'Pass what createWatch() returned.' },
  ]);
}

/** Undefined: this is no watch of `createWatch()`. */
export function findInternals(watch: unknown): Internals | undefined {
  return (watch as { readonly [internals]?: Internals } | null | undefined)?.[internals];
}
