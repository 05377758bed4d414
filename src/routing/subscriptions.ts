import type { Client } from 'pg';
import type { Server } from '../postgres/server.ts';
import type { TypeCatalog } from '../postgres/types.ts';
import { ExactlyOnce, type ExactlyOnceHost, type InTransaction } from '../delivery/exactly-once.ts';
import { positionIssues } from '../delivery/positions.ts';
import type { DeliverySettings } from '../delivery/recipient.ts';
import type { DeliveryOptions, OnError, SubscribeOptions } from '../types/delivery.ts';
import type { SlotSubscribeOptions } from '../types/existing.ts';
import type { MessageOptions } from '../types/messages.ts';
import type { MessageDescriptor } from '../types/outbox.ts';
import { offAbort, onAbort } from '../abort-signal.ts';
import { type ConfigurationIssue, throwIssues } from '../errors.ts';
import type { ExistingReader } from './existing-reader.ts';
import { filterIssues } from './filter.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import { keylessIssues, messageIssues } from './message-arguments.ts';
import { copyOf, isIteratorOptions, takenName } from './subscribe-arguments.ts';
import { IteratorNames } from './iterator-names.ts';
import { type Route, takesAnyNumber } from './route.ts';
import type { Router } from './router.ts';
import { deliveryOptionNames, settingsOf, subscribeOptionNames } from './subscribe-options.ts';
import { keyIssues, RowStream, withChanges } from './row-stream.ts';
import { routeOf, sourceOf } from './source.ts';
import { ActiveSubscription, type Filter, type Handler, type Registry } from './subscription.ts';

/** Registers handlers. Reads and checks the arguments of `subscribe` and `unsubscribe`. */
export class Subscriptions {
  readonly #router: Router;
  readonly #defaults: DeliverySettings;
  readonly #exactlyOnce: ExactlyOnceHost;
  readonly #existing: ExistingReader | undefined;
  /** Subscriptions whose names identify stored positions or dead letters. */
  readonly #named = new Map<string, ActiveSubscription>();
  readonly #iteratorNames = new IteratorNames();
  keepsPositions = false;

  constructor(
    router: Router,
    defaults: Pick<DeliverySettings, 'onError'>,
    exactlyOnce: ExactlyOnceHost,
    existing?: ExistingReader,
  ) {
    this.#router = router;
    this.#existing = existing;
    this.#defaults = {
      name: undefined,
      timeout: undefined,
      concurrency: 1,
      transaction: false,
      batch: undefined,
      onError: defaults.onError,
    };
    this.#exactlyOnce = exactlyOnce;
  }

  /** `(watcher, handler, options?)` or `(watcher, filter, handler, options?)`. @throws ConfigurationError */
  subscribe(
    watcher: string | readonly string[],
    rest: readonly unknown[],
    known: readonly string[] = this.#existing ? [...subscribeOptionNames, 'existing'] : subscribeOptionNames,
    iterated = false,
  ): ActiveSubscription {
    const source = sourceOf(this.#router, watcher);
    const { name } = source;
    const routes = source instanceof RowStream ? source.routes : [source];
    const filtered = typeof rest[0] !== 'function' || typeof rest[1] === 'function';
    const filter = filtered ? copyOf(rest[0] as Filter) : undefined;
    const [handler, options] = filtered ? rest.slice(1) : rest;
    const issues: ConfigurationIssue[] = [];
    if (filtered)
      for (const route of routes)
        issues.push(...filterIssues(route.watcher, filter, route.primaryKey, (column) => route.takesAnyNumber(column)));
    issues.push(...keyIssues(routes));
    if (typeof handler !== 'function') {
      issues.push({
        message: `${name}: the handler is not a function`,
        solution: 'subscribe(watcher, (event, context) => …)',
      });
    }
    const settings =
      options === undefined ? this.#defaults : settingsOf(options as SubscribeOptions, this.#defaults, issues, known);
    const given = this.#existing && (options as SlotSubscribeOptions | undefined)?.existing;
    const existing = given === undefined ? undefined : this.#existing!.resolve(given, settings.name, routes, issues);
    throwIssues(issues);
    const subscription = this.#make(source, filter, handler as Handler, settings, iterated, existing !== undefined);
    this.#register(subscription, (options as SubscribeOptions | undefined)?.signal, () => source.add(subscription));
    if (existing !== undefined) this.#existing!.add(subscription, routes, existing);
    return subscription;
  }

  /** `(prefix or descriptor, handler, options?)`. @throws ConfigurationError */
  subscribeToMessages(
    message: string | MessageDescriptor,
    handler: Handler,
    options: MessageOptions | undefined,
  ): ActiveSubscription {
    const issues = messageIssues(message, handler);
    const settings =
      options === undefined ? this.#defaults : settingsOf(options, this.#defaults, issues, subscribeOptionNames);
    if (typeof message !== 'object') issues.push(...keylessIssues(message, settings));
    throwIssues(issues);
    const { messages } = this.#router;
    const source = messages.source(message);
    const subscription = this.#make(source, undefined, handler, settings);
    return this.#register(subscription, options?.signal, () => source.add(subscription));
  }

  /** `(handler, options?)`. @throws ConfigurationError */
  subscribeToTransactions(handler: Handler, options: DeliveryOptions | undefined): ActiveSubscription {
    const issues: ConfigurationIssue[] = [];
    if (typeof handler !== 'function')
      issues.push({
        message: 'the handler is not a function',
        solution: 'onTransaction(async (transaction) => { for await (const change of transaction) … })',
      });
    const settings =
      options === undefined ? this.#defaults : settingsOf(options, this.#defaults, issues, deliveryOptionNames);
    if (typeof settings.onError === 'object' && settings.onError.then === 'deadLetter')
      issues.push({
        message: 'a transaction cannot become a dead letter; only single events can',
        solution: "Set onError: { attempts: 5, then: 'stop' } or { attempts: 5, then: 'skip' } for this subscription.",
      });
    throwIssues(issues);
    const { transactions } = this.#router;
    const subscription = this.#make(transactions, undefined, handler, settings);
    return this.#register(subscription, options?.signal, () => transactions.add(subscription));
  }

  /** Ends all subscriptions with these arguments. Returns their number. */
  unsubscribe(watcher: string | readonly string[], rest: readonly unknown[]): number {
    const source = sourceOf(this.#router, watcher);
    const [route] = source instanceof RowStream ? source.routes : [source];
    if (rest.length > 1 && rest[0] === undefined) return 0; // subscribe does not accept this filter
    const [filter, handler] = rest.length > 1 ? rest : [undefined, rest[0]];
    const found = route!
      .like(filter as Filter, handler as Handler)
      .filter(
        ({ registry }) =>
          registry instanceof RowStream === source instanceof RowStream && registry.name === source.name,
      );
    for (const subscription of found) subscription.unsubscribe();
    return found.length;
  }

  /** @throws ConfigurationError when no watcher has this name */
  route(name: string): Route {
    return routeOf(this.#router, name);
  }

  /** `(watcher, options?)` or `(watcher, filter, options?)`. Only options have an AbortSignal, or `existing` if no watcher has such a column. */
  iterate(name: string | readonly string[], rest: readonly unknown[], handler: Handler): ActiveSubscription {
    const watchers = [name].flat().map((one) => this.route(one).watcher);
    const isOptions = (given: unknown) => isIteratorOptions(given, watchers);
    const filtered = rest.length > 1 || (rest.length === 1 && rest[0] !== undefined && !isOptions(rest[0]));
    const options = filtered ? rest[1] : rest[0];
    const given = [...(filtered ? [rest[0]] : []), handler, ...(options === undefined ? [] : [options])];
    return this.subscribe(name, given, this.#existing ? ['signal', 'name', 'existing'] : ['signal'], true);
  }

  /** Problems of filters that were set before the primary key or the types of columns were known. */
  issues(bound: readonly BoundWatcher[], types: TypeCatalog): ConfigurationIssue[] {
    return bound.flatMap((one) => {
      const { watcher, primaryKey } = one;
      const route = this.#router.routes.get(watcher.name);
      if (!route || (route.bound && watcher.table.primaryKey !== undefined)) return [];
      const filters = [...route.subscriptions()].flatMap(({ filter }) => (filter === undefined ? [] : [filter]));
      // Numbers are checked only once: if a column gets another type later, an accepted filter stays valid.
      const takesAny = (column: string) => route.bound !== undefined || takesAnyNumber(one, types, column);
      return filters.flatMap((filter) => filterIssues(watcher, filter, primaryKey, takesAny));
    });
  }

  /** Reasons why subscriptions with `transaction` cannot work. */
  async positionIssues(client: Client, server: Server): Promise<ConfigurationIssue[]> {
    for (const { exactlyOnce } of this.#named.values()) {
      if (exactlyOnce) return positionIssues(client, server, this.#exactlyOnce.create);
    }
    return [];
  }

  /** The subscription with this name. */
  named(name: string): ActiveSubscription | undefined {
    const named = this.#named.get(name);
    if (named) return named;
    for (const subscription of this.#all()) if (subscription.name === name) return subscription;
    return undefined;
  }

  /** Visits all subscriptions; only for rare events. */
  isUnique(name: string): boolean {
    let found: ActiveSubscription | undefined;
    for (const subscription of this.#all()) {
      if (subscription.name !== name || subscription === found) continue; // a row stream is listed once per watcher
      if (found) return false;
      found = subscription;
    }
    return true;
  }

  /** Whether any subscription has such an `onError`. Visits all subscriptions; only for rare events. */
  some(has: (onError: OnError) => boolean): boolean {
    for (const { settings } of this.#all()) if (has(settings.onError)) return true;
    return false;
  }

  /** Delivery has ended: rolls back the transactions of handlers that still run. */
  async close(): Promise<void> {
    await Promise.all(Array.from(this.#named.values(), async ({ exactlyOnce }) => exactlyOnce?.cut()));
  }

  *#all(): Iterable<ActiveSubscription> {
    for (const route of this.#router.routes.values()) yield* route.subscriptions();
    yield* this.#router.messages.subscriptions();
    yield* this.#router.transactions.subscriptions();
  }

  #make(
    registry: Registry,
    filter: Filter,
    handler: Handler,
    settings: DeliverySettings,
    iterated = false,
    existing = false,
  ): ActiveSubscription {
    // An iterator creates changes itself.
    const called =
      registry instanceof RowStream && !iterated ? withChanges(handler, settings.batch !== undefined) : handler;
    const subscription = new ActiveSubscription(registry, filter, handler, settings, called);
    const keeps = typeof settings.onError === 'object' && settings.onError.then === 'deadLetter';
    if (!settings.transaction && !keeps) return subscription;
    const { name } = subscription;
    // Iterators have no names, unless they read existing rows, so several iterators of one watcher are numbered.
    if (iterated && !existing) {
      const own = this.#iteratorNames.take(name, (taken) => this.#named.has(taken));
      return new ActiveSubscription(registry, filter, handler, { ...settings, name: own });
    }
    if (this.#named.has(name)) {
      throwIssues([takenName(name, settings.transaction ? 'positions' : 'dead letters')]);
    }
    if (!settings.transaction) return subscription;
    this.keepsPositions = true;
    const exactlyOnce = this.inTransaction(name, called, existing);
    return new ActiveSubscription(registry, filter, handler, settings, called, exactlyOnce);
  }

  /** For `transaction: true`. `existing`: rows that have no position come as well. */
  protected inTransaction(name: string, handler: Handler, existing: boolean): InTransaction {
    return new ExactlyOnce(this.#exactlyOnce, name, handler, existing);
  }

  /** Adds a subscription that its signal can end. Adds nothing if the signal is already aborted. */
  #register(subscription: ActiveSubscription, signal: AbortSignal | undefined, add: () => void): ActiveSubscription {
    const { exactlyOnce, settings } = subscription;
    if (signal?.aborted) {
      subscription.active = false;
      this.#iteratorNames.release(settings.name ?? '');
      return subscription;
    }
    add();
    const named =
      exactlyOnce !== undefined || (typeof settings.onError === 'object' && settings.onError.then === 'deadLetter');
    if (!signal && !named) return subscription; // most subscriptions need no clean-up
    if (named) this.#named.set(subscription.name, subscription);
    const end = () => subscription.unsubscribe();
    if (signal) onAbort(signal, end);
    subscription.onEnd = () => {
      if (signal) offAbort(signal, end);
      if (named) {
        this.#named.delete(subscription.name);
        this.#iteratorNames.release(subscription.name);
      }
      exactlyOnce?.close();
    };
    return subscription;
  }
}
