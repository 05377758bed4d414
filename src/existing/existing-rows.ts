import type { Ledger } from '../changes/ledger.ts';
import type { Client } from 'pg';
import type { ConfigurationIssue, WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import type { Server } from '../postgres/server.ts';
import type { TypeCatalog } from '../postgres/types.ts';
import type { Deliver } from '../routing/router.ts';
import type { Route } from '../routing/route.ts';
import type { ExistingReader } from '../routing/existing-reader.ts';
import type { ActiveSubscription } from '../routing/subscription.ts';
import type { Beside, OpenStream } from '../stream/beside.ts';
import type { ExistingOptions } from '../types/existing.ts';
import type { ExistingStatus } from '../types/events.ts';
import type { Logger } from '../types/logger.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import { ExistingStream } from './existing-stream.ts';
import { resolveExisting, type ResolvedExisting } from './options.ts';
import { Restarts } from './restarts.ts';
import { Splices } from './splices.ts';
import { startIssues } from './start-issues.ts';
import { SubscriptionReading } from './subscription-reading.ts';
import { ended } from './warnings.ts';

export interface ExistingRowsHost {
  readonly options: Pick<ResolvedOptions, 'slot' | 'manage' | 'visibility' | 'origin'>;
  readonly ledger: Pick<Ledger, 'hold' | 'settle'>;
  readonly types: () => TypeCatalog;
  /** What tells this worker from others. */
  readonly worker: () => string;
  readonly log: Logger;
  readonly deliver: Deliver;
  /** From now on changes pass by the splices. */
  begin(splices: Splices): void;
  /** Lets changes pass that waited for a barrier. */
  opened(): void;
  warn(warning: WatchError): void;
}

/** Reads the existing rows of all subscriptions that want them. */
export class ExistingRowsReader implements ExistingReader, Beside {
  readonly #host: ExistingRowsHost;
  readonly #splices = new Splices();
  readonly #readings = new Map<ActiveSubscription, SubscriptionReading>();
  #stream: ExistingStream | undefined;
  #restarts: Restarts | undefined;
  /** There was a connection that streamed. */
  #connected = false;
  #ending = false;
  #over: unknown;

  constructor(host: ExistingRowsHost) {
    this.#host = host;
  }

  resolve(
    given: string | ExistingOptions,
    name: string | undefined,
    routes: readonly Route[],
    issues: ConfigurationIssue[],
  ): ResolvedExisting {
    const { slot, visibility, origin } = this.#host.options;
    if (name === undefined)
      issues.push({
        message: 'existing without a name: how far the rows are read is stored under it',
        solution: "Give the subscription a name that stays: { name: 'search', existing: 'v1' }.",
      });
    if (!routes.some(({ watcher }) => watcher.type === 'inserted'))
      issues.push({
        message: `existing rows arrive as 'inserted', and ${routes.map((route) => `'${route.name}'`).join(', ')} has no such watcher`,
        solution: "Subscribe to the table's inserted watcher as well: ['orders:inserted', 'orders:updated'].",
      });
    if (visibility !== 'committed')
      issues.push({
        message: `existing needs visibility: 'committed', and the watch has '${visibility}'`,
        solution: 'Leave visibility out.',
      });
    if (slot.temporary)
      issues.push({
        message: 'existing needs a slot that stays, and the watch has a temporary one',
        solution: "createWatch({ slot: 'search_worker', … })",
      });
    if (origin === 'none')
      issues.push({
        message:
          "existing does not go with origin: 'none': rows that were replicated here would be read, and their changes not followed",
        solution: 'Leave origin out, or existing.',
      });
    return resolveExisting(given, issues);
  }

  add(subscription: ActiveSubscription, routes: readonly Route[], options: unknown): void {
    const { slot, manage } = this.#host.options;
    const reading = new SubscriptionReading(subscription, routes, options as ResolvedExisting, {
      ...this.#host,
      splices: this.#splices,
      types: this.#host.types(),
      worker: this.#host.worker(),
      slot: slot.name,
      create: manage === 'create',
    });
    if (this.#readings.size === 0) this.#host.begin(this.#splices);
    this.#readings.set(subscription, reading);
    subscription.existing = reading.progress;
    const { onEnd } = subscription;
    subscription.onEnd = () => {
      onEnd?.();
      this.#readings.delete(subscription);
      reading.end(this.#over ?? ended(subscription.name), !this.#ending);
    };
    // What came between an earlier start and now was not for this subscription.
    if (this.#connected) reading.restart('late');
    if (this.#stream) void reading.read(this.#stream);
  }

  /** What keeps existing rows from being read. Makes walwatch.existing when it is missing and may be made. */
  async issues(client: Client, server: Server, bound: readonly BoundWatcher[]): Promise<ConfigurationIssue[]> {
    const open = [...this.#readings.values()].filter(({ progress }) => progress.state !== 'done');
    if (open.length === 0) return [];
    return startIssues(client, server, bound, open, this.#host.options.manage === 'create');
  }

  /** Changes were lost. Before the event `gap` is emitted, so that its listeners find the promise of the rows that are read again. */
  gap(): void {
    for (const reading of this.#readings.values()) reading.restart('gap');
  }

  connected(stream: OpenStream): void {
    const { server } = stream;
    const existing = new ExistingStream(
      {
        ...stream,
        slot: this.#host.options.slot.name,
        origin: {
          systemIdentifier: server.systemIdentifier,
          slotLsn: stream.slotLsn,
          worker: this.#host.worker(),
          before: stream.workerBefore,
        },
        pid: () => stream.pid(),
        open: () => stream.open('existing'),
        hasPassed: (position) => stream.hasPassed(position),
        ask: () => stream.ask(),
        flush: () => stream.flush(),
        opened: () => this.#host.opened(),
      },
      this.#splices,
    );
    this.#stream = existing;
    this.#connected = true;
    this.#restarts = new Restarts(existing, this.#host.options.slot.name, this.#readings);
    for (const reading of this.#readings.values()) {
      if (stream.forgotten) reading.forget();
      void reading.read(existing);
    }
  }

  disconnected(): void {
    this.#restarts?.close();
    this.#stream?.close();
    this.#stream = undefined;
    this.#splices.openAll();
    for (const reading of this.#readings.values()) reading.disconnected();
  }

  ending(): void {
    this.#ending = true;
    this.#stream?.end();
    for (const reading of this.#readings.values()) reading.wake();
  }

  /** The watch has ended. Changes that hold unstored state are not settled: they must be delivered again. */
  end(reason: unknown): void {
    this.#over = reason;
    this.ending();
    for (const reading of this.#readings.values()) reading.end(reason, false);
  }

  /** Stores the progress of all tables before the connections close. */
  async store(): Promise<void> {
    await Promise.all([...this.#readings.values()].map((reading) => reading.store()));
  }

  get status(): readonly ExistingStatus[] {
    return [...this.#readings.values()].map(({ subscription, progress }) => ({
      subscription: subscription.name,
      ...progress.toJSON(),
    }));
  }
}
