import type { HandlerObserver } from '../delivery/handler-hook.ts';
import type { SlotWatchStatus } from '../types/events.ts';

/** What a watch measures besides its status: for `collectMetrics`, not for users. */
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

/** Where a watch has its measurements. */
export const measurements: unique symbol = Symbol('walwatch.measurements');
