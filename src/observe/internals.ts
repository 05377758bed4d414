import type { HandlerObserver } from '../delivery/handler-hook.ts';
import type { Failure, Recipient } from '../delivery/recipient.ts';
import type { Occurrence } from '../delivery/occurrence.ts';
import type { EventContext } from '../types/delivery.ts';
import type { Tap } from '../routing/tap.ts';
import type { Subscription } from '../types/delivery.ts';
import type { SlotWatchStatus } from '../types/events.ts';
import { ConfigurationError, shown, type WatchError } from '../errors.ts';

/**
 * Under this a watch shows to other entry points of the package what its users need not see. The same in all copies of the
 * package: one process may have several, of different versions.
 */
export const internals = Symbol.for('walwatch:internals');
/** Of what is shown. Another one is another agreement. */
export const internalsVersion = 1;

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
  readonly version: number;
  readonly measurements: Measurements;
  readonly slot: string;
  /** What is missing may be made. */
  readonly create: boolean;
  /** Known while streaming. */
  systemIdentifier(): string;
  /** Settles with the watch. */
  readonly over: Promise<void>;
  /** What a handler of `tap` was called for. */
  occurrence(context: EventContext): Occurrence;
  tap(recipient: Tap): Subscription & Recipient;
  failed(failure: Failure): void;
  warn(warning: WatchError): void;
}

/** @throws ConfigurationError for what `createWatch()` has not made, or that of another version */
export function internalsOf(watch: unknown): Internals {
  const found = findInternals(watch);
  if (found) return found;
  throw new ConfigurationError([
    { message: 'this is no watch that owns a slot', solution: 'Pass what createWatch() returned.' },
  ]);
}

/** Undefined: this is no watch of `createWatch()`. @throws ConfigurationError for that of another version */
export function findInternals(watch: unknown): Internals | undefined {
  const found = (watch as { readonly [internals]?: Internals } | null | undefined)?.[internals];
  if (found === undefined || found.version === internalsVersion) return found;
  throw new ConfigurationError([
    {
      message: `the watch was made by another version of walwatch, which shows internals of version ${shown(found.version)}; this one knows version ${internalsVersion}`,
      solution: 'Install one version of walwatch: npm ls walwatch shows all copies.',
    },
  ]);
}
