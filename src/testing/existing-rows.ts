import type { LedgerTransaction } from '../changes/ledger.ts';
import { chunkTransaction, ExistingChange, ExistingRouting, type Given } from '../existing/existing-row.ts';
import { type ResolvedExisting, resolveExisting, subscriptionIssues } from '../existing/options.ts';
import { Progress } from '../existing/progress.ts';
import { ended } from '../existing/warnings.ts';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
import type { ExistingReader } from '../routing/existing-reader.ts';
import type { Deliver } from '../routing/router.ts';
import type { Route } from '../routing/route.ts';
import type { ActiveSubscription } from '../routing/subscription.ts';
import type { ExistingOptions } from '../types/existing.ts';
import type { ExistingStatus } from '../types/events.ts';
import type { DescribedChange } from './test-table.ts';

/** The existing rows of one subscription. */
class TestReading implements Given {
  readonly routes: readonly Route[];
  readonly progress: Progress;
  #rows = 0;
  #open = 0;

  constructor(routes: readonly Route[], { version }: ResolvedExisting) {
    this.routes = routes;
    this.progress = new Progress(version, 1);
  }

  given(): void {
    this.#open++;
    this.progress.again();
    this.progress.begin();
    this.progress.table('', this.#rows, undefined);
  }

  settled(): void {
    this.#open--;
    this.progress.handled('', ++this.#rows);
  }

  /** Nothing more comes for now. */
  rest(): void {
    if (this.#open === 0 && this.progress.state !== 'done') this.progress.finish();
  }
}

export interface TestExistingRowsHost {
  readonly deliver: Deliver;
  warn(warning: WatchError): void;
}

/** Delivers rows as existing rows. No table is read: the rows are those that the test delivers. */
export class TestExistingRows implements ExistingReader {
  readonly #host: TestExistingRowsHost;
  readonly #readings = new Map<ActiveSubscription, TestReading>();
  #started = false;
  #over: unknown;

  constructor(host: TestExistingRowsHost) {
    this.#host = host;
  }

  resolve(
    given: string | ExistingOptions,
    name: string | undefined,
    routes: readonly Route[],
    issues: ConfigurationIssue[],
  ): ResolvedExisting {
    issues.push(...subscriptionIssues(name, routes, [...this.#readings.keys()]));
    return resolveExisting(given, issues);
  }

  add(subscription: ActiveSubscription, routes: readonly Route[], options: unknown): void {
    const reading = new TestReading(routes, options as ResolvedExisting);
    subscription.existing = reading.progress;
    if (!subscription.active) {
      reading.progress.end(ended(subscription.name)); // its signal was aborted already
      return;
    }
    this.#readings.set(subscription, reading);
    const { onEnd } = subscription;
    subscription.onEnd = (dropped) => {
      onEnd?.(dropped);
      this.#readings.delete(subscription);
      reading.progress.end(this.#over ?? ended(subscription.name));
    };
    if (this.#started) reading.rest();
  }

  get status(): readonly ExistingStatus[] {
    return [...this.#readings].map(([{ name }, { progress }]) => ({ subscription: name, ...progress.toJSON() }));
  }

  /** Passes a row to the subscriptions that read existing rows. */
  give(route: Route, row: DescribedChange, begin: (transaction: LedgerTransaction) => void): void {
    const readers = [...this.#readings].filter(([, { routes }]) => routes.includes(route));
    for (const [subscription, reading] of readers) this.#giveTo(subscription, reading, route, row, begin);
    if (readers.length > 0) return;
    this.#host.warn(notRead(route.name));
    const unread = { given: () => {}, settled: () => {}, progress: { version: 'v1' } };
    for (const subscription of route.subscriptions()) this.#giveTo(subscription, unread, route, row, begin);
  }

  #giveTo(
    subscription: ActiveSubscription,
    reading: Given & { readonly progress: { readonly version: string }; given(): void },
    route: Route,
    { plan, row }: DescribedChange,
    begin: (transaction: LedgerTransaction) => void,
  ): void {
    const [planned] = plan.watchers.inserted;
    const { schema, name } = planned!.bound.table;
    const transaction = chunkTransaction(Date.now());
    const key = planned!.primaryKey.map(({ slot }) => row[slot]!);
    const scope = `existing/${reading.progress.version}/1/${schema}.${name}`;
    const change = new ExistingChange(transaction, plan, row, key, scope, undefined);
    const routing = new ExistingRouting(planned!, change, reading);
    if (!route.matches(subscription, routing) || !routing.isKept) return;
    begin(transaction);
    reading.given();
    this.#host.deliver(subscription, routing.occurrence, routing.error);
  }

  /** The watch has started: there is nothing more to read. */
  streaming(): void {
    this.#started = true;
    this.rest();
  }

  /** The handlers of a delivery are done. */
  rest(): void {
    for (const reading of this.#readings.values()) {
      if (this.#started || reading.progress.state === 'reading') reading.rest();
    }
  }

  end(reason: unknown): void {
    this.#over = reason;
    for (const { progress } of this.#readings.values()) progress.end(reason);
  }
}

function notRead(watcher: string): WatchError {
  return new WatchError(
    'CONFIGURATION',
    `${watcher}: no subscription has the option \`existing\`. In production this row would reach no handler`,
    { solution: "Subscribe with { name: 'search', existing: 'v1' }." },
  );
}
