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
import type { Prepared } from '../setup/prepare.ts';
import type { Beside, OpenStream } from '../stream/beside.ts';
import type { ExistingOptions } from '../types/existing.ts';
import type { ExistingStatus } from '../types/events.ts';
import type { Logger } from '../types/logger.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import { noteAbsence } from './absence.ts';
import { Departures } from './departures.ts';
import { ExistingStream } from './existing-stream.ts';
import { resolveExisting, type ResolvedExisting, subscriptionIssues } from './options.ts';
import { Restarts } from './restarts.ts';
import { Splices } from './splices.ts';
import { onStandby, startIssues } from './start-issues.ts';
import { SubscriptionReading } from './subscription-reading.ts';
import { ended } from './warnings.ts';

export interface ExistingRowsHost {
  readonly options: Pick<ResolvedOptions, 'slot' | 'publication' | 'manage' | 'visibility' | 'origin'>;
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

/** Milliseconds to store the progress before the watch ends. Rows that are not recorded are read again. */
const storeTimeout = 2000;

type Attended = Pick<Prepared, 'server' | 'activePid' | 'keepsExisting'>;

/** Reads the existing rows of all subscriptions that want them. */
export class ExistingRowsReader implements ExistingReader, Beside {
  readonly #host: ExistingRowsHost;
  readonly #splices = new Splices();
  readonly #readings = new Map<ActiveSubscription, SubscriptionReading>();
  readonly #departures: Departures;
  #stream: ExistingStream | undefined;
  #restarts: Restarts | undefined;
  /** A connection has streamed. */
  #connected = false;
  #ending = false;
  #over: unknown;

  constructor(host: ExistingRowsHost) {
    this.#host = host;
    this.#departures = new Departures(this.#splices, host.ledger, host.options.slot.name, host.log);
  }

  resolve(
    given: string | ExistingOptions,
    name: string | undefined,
    routes: readonly Route[],
    issues: ConfigurationIssue[],
  ): ResolvedExisting {
    const { slot, visibility, origin } = this.#host.options;
    issues.push(...subscriptionIssues(name, routes, [...this.#readings.keys()]));
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
          "existing cannot be used with origin: 'none': it would read rows that were replicated here, but not get their changes",
        solution: 'Leave origin out, or existing.',
      });
    // Before the start the server is not known: start() refuses it.
    if (this.#stream?.facts.server.inRecovery) issues.push(onStandby);
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
    subscription.existing = reading.progress;
    if (!subscription.active) {
      reading.end(ended(subscription.name), false); // its signal was aborted already
      return;
    }
    if (this.#readings.size === 0) this.#host.begin(this.#splices);
    this.#readings.set(subscription, reading);
    const { onEnd } = subscription;
    subscription.onEnd = (dropped) => {
      onEnd?.(dropped);
      this.#readings.delete(subscription);
      reading.end(this.#over ?? ended(subscription.name), !this.#ending);
      this.#left(reading, dropped > 0);
    };
    // What came between an earlier start and now was not for this subscription.
    if (this.#connected) reading.restart('late');
    this.#departures.returned(subscription.name);
    if (this.#stream) void reading.read(this.#stream);
  }

  /** What keeps existing rows from being read. Makes walwatch.existing when it is missing and may be made. */
  async issues(client: Client, server: Server, bound: readonly BoundWatcher[]): Promise<ConfigurationIssue[]> {
    const open = [...this.#readings.values()].filter(({ progress }) => progress.state !== 'done');
    if (open.length === 0) return [];
    const { manage, publication } = this.#host.options;
    return startIssues(client, server, bound, open, { create: manage === 'create', publication: publication.name });
  }

  /** Before streaming: notes which of the stored tables this worker does not read, unless another worker has the slot. */
  async attend(client: Client, { server, activePid, keepsExisting }: Attended): Promise<void> {
    const { slot } = this.#host.options;
    if (slot.temporary || server.inRecovery || activePid !== undefined) return;
    const departed = this.#departures.all;
    const present = [...this.#readings.values()].flatMap(({ subscription, tables }) =>
      tables.map(({ name }) => ({ subscription: subscription.name, table: name })),
    );
    if (keepsExisting) await noteAbsence(client, slot.name, present);
    this.#departures.forget(departed);
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
        holds: () => stream.holds(),
        ask: () => stream.ask(),
        flush: () => stream.flush(),
        opened: () => this.#host.opened(),
      },
      this.#splices,
    );
    this.#stream = existing;
    this.#connected = true;
    this.#departures.connected(existing);
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
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, storeTimeout)));
    const stored = Array.from(this.#readings.values(), (reading) => reading.store());
    await Promise.race([Promise.all([...stored, this.#departures.noted()]), patience]);
    clearTimeout(timer);
  }

  #left({ subscription, tables }: SubscriptionReading, missed: boolean): void {
    if (this.#ending && !missed) return;
    for (const { name, routes } of tables) {
      const oid = routes[0]!.bound?.table.oid;
      if (oid !== undefined) this.#departures.add({ subscription: subscription.name, table: name, oid }, missed);
    }
  }

  get status(): readonly ExistingStatus[] {
    return [...this.#readings.values()].map(({ subscription, progress }) => ({
      subscription: subscription.name,
      ...progress.toJSON(),
    }));
  }
}
