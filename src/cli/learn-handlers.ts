import { setTimeout as delay } from 'node:timers/promises';
import type { OnError } from '../types/delivery.ts';
import { type Internals, internals } from '../observe/internals.ts';
import type { Tap } from '../routing/tap.ts';
import type { SlotSubscribeOptions } from '../types/existing.ts';
import type { SlotWatch } from '../types/watch.ts';
import { createWatch } from '../watch/create-watch.ts';
import type { Configuration } from './config.ts';

/** What the application's handlers need in the database, as far as the configuration shows. */
export interface Uses {
  /** Some handlers have `transaction: true`. */
  readonly positions: boolean;
  /** Failed events of some handlers become dead letters. */
  readonly deadLetters: boolean;
  /** Some handlers have limited attempts. */
  readonly attempts: boolean;
  readonly messages: boolean;
  /** Some handlers get existing rows. */
  readonly existing: boolean;
  /** The watchers of those handlers. */
  readonly existingWatchers: readonly string[];
  /** The error of the configuration's `subscribe`, which would also fail in the worker. */
  readonly error: unknown;
}

/** Milliseconds: `subscribe` only registers handlers. */
const patience = 5000;

/** Calls the configuration file's `subscribe` with a watch that cannot start, and records its subscriptions. */
export async function learnHandlers({ options, resolved, watchers, subscribe }: Configuration): Promise<Uses> {
  const seen = { positions: false, messages: false, onErrors: [] as OnError[], existing: [] as string[] };
  let error: unknown;
  let subscriptions = 0;
  if (subscribe) {
    const note = (name: string, what: unknown, given: unknown) => {
      const { transaction, existing, onError = resolved.onError } = (given ?? {}) as SlotSubscribeOptions;
      subscriptions++;
      if (transaction) seen.positions = true;
      if (existing !== undefined) seen.existing.push(...([what].flat() as string[]));
      if (name === 'onMessage') seen.messages = true;
      seen.onErrors.push(onError);
    };
    try {
      const watch = createWatch<any>({ ...options, logger: false });
      const names = watchers.map((one) => one.name);
      await Promise.race([subscribe(observed(watch, names, note)), delay(patience, undefined, { ref: false })]);
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
    existing: seen.existing.length > 0,
    existingWatchers: seen.existing,
    error,
  };
}

const registering = ['subscribe', 'onMessage', 'onTransaction', 'events'];

/** A watch that cannot start. It reports the options of each registered handler, and of what relays all watchers. */
function observed(
  watch: SlotWatch<any>,
  watchers: readonly string[],
  note: (name: string, what: unknown, options: unknown) => void,
): SlotWatch<any> {
  return new Proxy(watch, {
    get(target, name) {
      if (name === 'start') return async () => {};
      const value: unknown = Reflect.get(target, name, target);
      if (name === internals) {
        const inner = value as Internals;
        const tap = (recipient: Tap) => {
          note('tap', watchers, recipient);
          return inner.tap(recipient);
        };
        return { ...inner, tap };
      }
      if (typeof value !== 'function') return value;
      return (...given: unknown[]): unknown => {
        const result: unknown = value.apply(target, given);
        if (typeof name === 'string' && registering.includes(name)) {
          const last = given.at(-1);
          note(name, given[0], given.length > 1 && typeof last === 'object' ? last : undefined);
        }
        return result;
      };
    },
  });
}
