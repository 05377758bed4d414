import type { DeliverySettings } from '../delivery/lane.ts';
import type { DeliveryOptions, SubscribeOptions } from '../delivery/types.ts';
import { type ConfigurationIssue, throwIssues } from '../errors.ts';
import { onErrorIssues, unknownKeys } from '../options.ts';
import { filterIssues } from './filter.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import type { Route } from './route.ts';
import type { Router } from './router.ts';
import { ActiveSubscription, type Filter, type Handler } from './subscription.ts';

const deliveryOptionNames = ['name', 'signal', 'onError', 'timeout'] satisfies (keyof DeliveryOptions)[];
const optionNames = [...deliveryOptionNames, 'concurrency'] satisfies (keyof SubscribeOptions)[];

/** Registers handlers: reads the arguments of `subscribe` and `unsubscribe`, and checks them. */
export class Subscriptions {
  readonly #router: Router;
  readonly #defaults: DeliverySettings;

  constructor(router: Router, defaults: Pick<DeliverySettings, 'onError'>) {
    this.#router = router;
    this.#defaults = { name: undefined, timeout: undefined, concurrency: 1, onError: defaults.onError };
  }

  /** `(watcher, handler, options?)` or `(watcher, filter, handler, options?)`. @throws ConfigurationError */
  subscribe(name: string, rest: readonly unknown[]): ActiveSubscription {
    const route = this.route(name);
    const filtered = typeof rest[0] !== 'function' || typeof rest[1] === 'function';
    const filter = filtered ? (rest[0] as Filter) : undefined;
    const [handler, options] = filtered ? rest.slice(1) : rest;
    const issues: ConfigurationIssue[] = [];
    if (filtered) issues.push(...filterIssues(route.watcher, filter, route.primaryKey));
    if (typeof handler !== 'function') {
      issues.push({
        message: `${name}: the handler is not a function`,
        solution: `subscribe('${name}', (event, context) => …)`,
      });
    }
    const settings =
      options === undefined ? this.#defaults : this.#settings(options as SubscribeOptions, issues, optionNames);
    throwIssues(issues);
    const subscription = new ActiveSubscription(route, filter, handler as Handler, settings);
    return register(subscription, (options as SubscribeOptions | undefined)?.signal, () => route.add(subscription));
  }

  /** `(prefix, handler, options?)`. @throws ConfigurationError */
  subscribeToMessages(prefix: string, handler: Handler, options: DeliveryOptions | undefined): ActiveSubscription {
    const issues: ConfigurationIssue[] = [];
    if (typeof prefix !== 'string')
      issues.push({ message: 'the prefix of messages is a string', solution: "onMessage('outbox', (message) => …)" });
    if (typeof handler !== 'function')
      issues.push({ message: 'the handler is not a function', solution: "onMessage('outbox', (message) => …)" });
    const settings = options === undefined ? this.#defaults : this.#settings(options, issues, deliveryOptionNames);
    throwIssues(issues);
    const { messages } = this.#router;
    const subscription = new ActiveSubscription(messages.registry(prefix), undefined, handler, settings);
    return register(subscription, options?.signal, () => messages.add(prefix, subscription));
  }

  /** Ends all that were made with these arguments. Returns how many. */
  unsubscribe(name: string, rest: readonly unknown[]): number {
    const route = this.route(name);
    const [filter, handler] = rest.length > 1 ? rest : [undefined, rest[0]];
    const found = route.like(filter as Filter, handler as Handler);
    for (const subscription of found) subscription.unsubscribe();
    return found.length;
  }

  /** @throws ConfigurationError when there is no watcher of this name */
  route(name: string): Route {
    const route = this.#router.routes.get(name);
    if (route) return route;
    const known = [...this.#router.routes.keys()].join(', ') || 'none';
    throwIssues([
      { message: `there is no watcher '${String(name)}'`, solution: `Known: ${known}.`, watcher: String(name) },
    ]);
    throw new TypeError('unreachable');
  }

  /** `(watcher, options?)` or `(watcher, filter, options?)`: only options have a signal that is an AbortSignal. */
  iterate(name: string, rest: readonly unknown[], handler: Handler): ActiveSubscription {
    const isOptions = (given: unknown) =>
      (given as { signal?: unknown } | null | undefined)?.signal instanceof AbortSignal;
    const filtered = rest.length > 1 || (rest.length === 1 && rest[0] !== undefined && !isOptions(rest[0]));
    const options = filtered ? rest[1] : rest[0];
    return this.subscribe(name, [...(filtered ? [rest[0]] : []), handler, ...(options === undefined ? [] : [options])]);
  }

  /** What is wrong with subscriptions that were made before the primary keys were known. */
  issues(bound: readonly BoundWatcher[]): ConfigurationIssue[] {
    return bound.flatMap(({ watcher, primaryKey }) => {
      const route = this.#router.routes.get(watcher.name);
      if (!route || watcher.table.primaryKey !== undefined) return [];
      const filters = [...route.subscriptions()].flatMap(({ filter }) => (filter === undefined ? [] : [filter]));
      return filters.flatMap((filter) => filterIssues(watcher, filter, primaryKey));
    });
  }

  #settings(options: SubscribeOptions, issues: ConfigurationIssue[], known: readonly string[]): DeliverySettings {
    if (typeof options !== 'object' || options === null) {
      issues.push({ message: 'the options of subscribe are an object', solution: '{ concurrency: 8 }' });
      return this.#defaults;
    }
    unknownKeys(options, known, 'subscribe option', issues);
    const { name, timeout, concurrency = 1, onError = this.#defaults.onError } = options;
    issues.push(...onErrorIssues(onError));
    if (!Number.isInteger(concurrency) || concurrency < 1)
      issues.push({ message: 'concurrency is a whole number, 1 or more', solution: undefined });
    if (timeout !== undefined && !(typeof timeout === 'number' && timeout > 0))
      issues.push({ message: 'timeout is a number of milliseconds, above 0', solution: undefined });
    if (name !== undefined && (typeof name !== 'string' || name === ''))
      issues.push({ message: 'name is a non-empty string', solution: undefined });
    if (options.signal !== undefined && !(options.signal instanceof AbortSignal))
      issues.push({ message: 'signal is an AbortSignal', solution: undefined });
    return { name, timeout, concurrency, onError };
  }
}

/** Adds a subscription that its signal ends; not at all when the signal is aborted already. */
function register(
  subscription: ActiveSubscription,
  signal: AbortSignal | undefined,
  add: () => void,
): ActiveSubscription {
  if (signal?.aborted) {
    subscription.active = false;
    return subscription;
  }
  add();
  if (signal) {
    const end = () => subscription.unsubscribe();
    signal.addEventListener('abort', end, { once: true });
    subscription.onEnd = () => signal.removeEventListener('abort', end);
  }
  return subscription;
}
