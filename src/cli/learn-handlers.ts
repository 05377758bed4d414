import { setTimeout as delay } from 'node:timers/promises';
import type { OnError, SubscribeOptions } from '../types/delivery.ts';
import type { SlotWatch } from '../types/watch.ts';
import { createWatch } from '../watch/create-watch.ts';
import type { Configuration } from './config.ts';

/** What the application's handlers need of the database, as far as the configuration shows. */
export interface Uses {
  /** Some have `transaction: true`. */
  readonly positions: boolean;
  /** The events of some become dead letters. */
  readonly deadLetters: boolean;
  /** The attempts of some are counted. */
  readonly attempts: boolean;
  readonly messages: boolean;
  /** What `subscribe` of the configuration threw: it would in the worker, too. */
  readonly error: unknown;
}

/** Milliseconds: it has only to register handlers. */
const patience = 5000;

/** Calls `subscribe` of the configuration file with a watch that does not start, and notes what it asks for. */
export async function learnHandlers({ options, resolved, subscribe }: Configuration): Promise<Uses> {
  const seen = { positions: false, messages: false, onErrors: [] as OnError[] };
  let error: unknown;
  let subscriptions = 0;
  if (subscribe) {
    const note = (name: string, given: unknown) => {
      const { transaction, onError = resolved.onError } = (given ?? {}) as SubscribeOptions;
      subscriptions++;
      if (transaction) seen.positions = true;
      if (name === 'onMessage') seen.messages = true;
      seen.onErrors.push(onError);
    };
    try {
      const watch = createWatch<any>({ ...options, logger: false });
      await Promise.race([subscribe(observed(watch, note)), delay(patience, undefined, { ref: false })]);
    } catch (thrown) {
      error = thrown;
    }
  }
  if (subscriptions === 0) seen.onErrors.push(resolved.onError);
  return {
    positions: seen.positions,
    deadLetters: seen.onErrors.some((one) => typeof one === 'object' && one.then === 'deadLetter'),
    attempts: seen.onErrors.some((one) => typeof one === 'object'),
    messages: seen.messages,
    error,
  };
}

const registering = ['subscribe', 'onMessage', 'onTransaction', 'events'];

/** A watch that cannot be started, and tells how handlers are registered. */
function observed(watch: SlotWatch<any>, note: (name: string, options: unknown) => void): SlotWatch<any> {
  return new Proxy(watch, {
    get(target, name) {
      if (name === 'start') return async () => {};
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]): unknown => {
        const result: unknown = value.apply(target, given);
        if (typeof name === 'string' && registering.includes(name)) {
          const last = given.at(-1);
          note(name, given.length > 1 && typeof last === 'object' ? last : undefined);
        }
        return result;
      };
    },
  });
}
