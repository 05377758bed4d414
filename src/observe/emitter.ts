import { shown, throwIssues } from '../errors.ts';
import { meant } from '../option-names.ts';
import type { Logger } from '../types/logger.ts';
import type { SlotWatchEventMap, WatchEventMap } from '../types/events.ts';

type Listener = (value: never) => void;

const watchEvents = [
  'connected', 'disconnected', 'handlerFailed', 'gap', 'warning', 'error',
] as const satisfies readonly (keyof WatchEventMap)[]; // prettier-ignore
export const slotWatchEvents = [
  ...watchEvents, 'standby', 'acknowledged',
] as const satisfies readonly (keyof SlotWatchEventMap)[]; // prettier-ignore

/** @throws ConfigurationError: a listener for a misspelled event would never be called */
export function checkListener(event: unknown, listener: unknown, events: readonly string[]): void {
  if (typeof event !== 'string' || !events.includes(event)) {
    const given = typeof event === 'string' ? `'${event}'` : shown(event);
    throwIssues([{ message: `a watch has no event ${given}`, solution: meant(String(event), events) }]);
  }
  if (typeof listener !== 'function')
    throwIssues([{ message: `the listener of '${event as string}' is not a function`, solution: `watch.on('${event as string}', (value) => …)` }]); // prettier-ignore
}

/** Shared by all copies of the package, because one process may have several. */
const ofOurs = Symbol.for('walwatch:listener');

/** Marks a listener of this package: it does not count as a listener of the application. */
export function ownListener<L extends (...values: never[]) => unknown>(listener: L): L {
  return Object.assign(listener, { [ofOurs]: true });
}

/** The events of a watch. Listeners only observe: the watch does not wait for them, and their errors do not affect it. */
export class Emitter {
  readonly #listeners = new Map<keyof SlotWatchEventMap, Set<Listener>>();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  on<E extends keyof SlotWatchEventMap>(event: E, listener: (value: SlotWatchEventMap[E]) => void): () => void {
    let listeners = this.#listeners.get(event);
    if (!listeners) this.#listeners.set(event, (listeners = new Set()));
    const own: Listener = (value) => listener(value); // the same function may be added twice
    if (ofOurs in listener) ownListener(own);
    listeners.add(own);
    return () => void listeners.delete(own);
  }

  /** Whether the application listens for the event. */
  hasListener(event: keyof SlotWatchEventMap): boolean {
    return [...(this.#listeners.get(event) ?? [])].some((listener) => !(ofOurs in listener));
  }

  emit<E extends keyof SlotWatchEventMap>(event: E, value: SlotWatchEventMap[E]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])] as ((value: SlotWatchEventMap[E]) => unknown)[]) {
      const complain = (err: unknown) => this.#log.error({ err, event }, `a listener of '${event}' threw`);
      try {
        const result = listener(value);
        if (result instanceof Promise) result.catch(complain);
      } catch (error) {
        complain(error);
      }
    }
  }
}
