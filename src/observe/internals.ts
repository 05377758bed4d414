import type { HandlerObserver } from '../delivery/handler-hook.ts';
import type { Failure, Recipient } from '../delivery/recipient.ts';
import type { Occurrence } from '../delivery/occurrence.ts';
import type { EventContext } from '../types/delivery.ts';
import type { Tap } from '../routing/tap.ts';
import type { Subscription } from '../types/delivery.ts';
import type { SlotWatchStatus } from '../types/events.ts';
import { ConfigurationError, shown, type WatchError } from '../errors.ts';

/**
 * The property through which other entry points of the package reach a watch's internals. The symbol is the same in all
 * copies of the package, because one process may have several, of different versions.
 */
export const internals = Symbol.for('walwatch:internals');
/** The version of the `Internals` interface. Copies of the package with different versions refuse to work together. */
export const internalsVersion = 1;

/** What `collectMetrics` needs from a watch. */
export interface Measurements {
  status(): SlotWatchStatus;
  /** Undefined before `start()` and while waiting as a standby. */
  lagSeconds(): number | undefined;
  /** Bytes at the last inspection; undefined before the first. */
  retainedWal(): number | undefined;
  /** Bytes; undefined: no limit, or not known yet. */
  retainedWalLimit(): number | undefined;
  /** The number of times streaming began, minus the first. */
  reconnects(): number;
  observe(observer: HandlerObserver): void;
}

export interface Internals {
  readonly version: number;
  readonly measurements: Measurements;
  readonly slot: string;
  /** Missing database objects may be created. */
  readonly create: boolean;
  /** Empty unless known; known while streaming. */
  systemIdentifier(): string;
  /** Settles when the watch ends. */
  readonly over: Promise<void>;
  /** The occurrence that a handler of `tap` was called for. */
  occurrence(context: EventContext): Occurrence;
  tap(recipient: Tap): Subscription & Recipient;
  failed(failure: Failure): void;
  warn(warning: WatchError): void;
}

/** @throws ConfigurationError for a value that `createWatch()` did not return, or a watch of another version */
export function internalsOf(watch: unknown): Internals {
  const found = findInternals(watch);
  if (found) return found;
  throw new ConfigurationError([
    { message: 'this is not a watch that owns a slot', solution: 'Pass the watch that createWatch() returned.' },
  ]);
}

/** Undefined for a value that `createWatch()` did not return. @throws ConfigurationError for a watch of another version */
export function findInternals(watch: unknown): Internals | undefined {
  const found = (watch as { readonly [internals]?: Internals } | null | undefined)?.[internals];
  if (found === undefined || found.version === internalsVersion) return found;
  throw new ConfigurationError([
    {
      message: `the watch was created by another version of walwatch (internals version ${shown(found.version)}, expected ${internalsVersion})`,
      solution: 'Install only one version of walwatch; npm ls walwatch lists all copies.',
    },
  ]);
}
