import type { Ledger } from '../changes/ledger.ts';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import type { TypeCatalog } from '../postgres/types.ts';
import type { Deliver } from '../routing/router.ts';
import type { Route } from '../routing/route.ts';
import type { ExistingReader } from '../routing/subscriptions.ts';
import type { ActiveSubscription } from '../routing/subscription.ts';
import type { Beside, OpenStream } from '../stream/beside.ts';
import type { ExistingOptions } from '../types/delivery.ts';
import type { ExistingStatus } from '../types/events.ts';
import type { Logger } from '../types/logger.ts';
import { ExistingStream } from './existing-stream.ts';
import { resolveExisting, type ResolvedExisting } from './options.ts';
import { Restarts } from './restarts.ts';
import { Splices } from './splices.ts';
import { SubscriptionReading } from './subscription-reading.ts';

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
  /** Changes that waited for a barrier may go on. */
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
      reading.end(this.#over ?? ended(subscription.name));
    };
    if (!this.#stream) return;
    if (!this.#restarts) this.#lookForRestarts(this.#stream);
    void reading.read(this.#stream, true);
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
    if (this.#readings.size > 0) this.#lookForRestarts(existing);
    for (const reading of this.#readings.values()) {
      if (stream.gap) reading.gap();
      void reading.read(existing, false);
    }
  }

  disconnected(): void {
    this.#restarts?.close();
    this.#restarts = undefined;
    this.#stream?.close();
    this.#stream = undefined;
    for (const reading of this.#readings.values()) reading.disconnected();
  }

  /** The watch has ended. */
  end(reason: unknown): void {
    this.#over = reason;
    this.disconnected();
    for (const reading of this.#readings.values()) reading.end(reason);
    this.#readings.clear();
  }

  /** Stores how far tables are read, before the connections close. */
  async store(): Promise<void> {
    await Promise.all([...this.#readings.values()].map((reading) => reading.store()));
  }

  #lookForRestarts(stream: ExistingStream): void {
    this.#restarts = new Restarts(stream, this.#host.options.slot.name, (subscription) => {
      for (const reading of this.#readings.values()) if (reading.subscription.name === subscription) reading.restart();
    });
  }

  get status(): readonly ExistingStatus[] {
    return [...this.#readings.values()].map(({ subscription, progress }) => ({
      subscription: subscription.name,
      ...progress.toJSON(),
    }));
  }
}

function ended(subscription: string): WatchError {
  return new WatchError('STOPPED', `${subscription}: the subscription ended before its existing rows were read`);
}
