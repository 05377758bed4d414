import type { Recipient } from '../delivery/recipient.ts';
import { throwIssues } from '../errors.ts';
import { refuseUnknownKeys } from '../option-names.ts';
import { parseLsn } from '../postgres/lsn.ts';
import type { SlotWatch } from '../types/watch.ts';
import { findInternals, type Measurements } from './internals.ts';
import type { ExistingStatus, WatchState } from '../types/events.ts';

type Labels = Readonly<Record<string, string>>;
interface Counting {
  inc(by?: number): void;
}
interface Observing {
  observe(value: number): void;
}
interface Metric<Child> {
  labels(labels: Labels): Child;
}
interface Gauge {
  set(labels: Labels, value: number): void;
  reset(): void;
}
interface Registry {
  getSingleMetric(name: string): unknown;
}
interface Configuration {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  readonly registers: readonly Registry[];
  readonly buckets?: readonly number[];
  readonly collect?: () => void;
}

/** What of prom-client is used. */
interface PromClient {
  readonly register: Registry;
  readonly Counter: new (configuration: Configuration) => Metric<Counting> & { reset(): void };
  readonly Gauge: new (configuration: Configuration) => Gauge;
  readonly Histogram: new (configuration: Configuration) => Metric<Observing>;
}

/**
 * Registers the metrics of a watch with an injected prom-client. Several watches of a process share them, told apart by
 * the label `slot`. `docs/how-to/monitor.md` lists them.
 *
 * @example
 * ```ts
 * import * as promClient from 'prom-client';
 * collectMetrics(watch, promClient);
 * response.setHeader('content-type', promClient.register.contentType).end(await promClient.register.metrics());
 * ```
 * @throws ConfigurationError when this is no watch of `createWatch`, or no prom-client
 */
export function collectMetrics(
  watch: SlotWatch<any>,
  promClient: object,
  options: { readonly registers?: readonly object[] } = {},
): void {
  refuseUnknownKeys(options, ['registers'], 'option of collectMetrics()');
  const measured = findInternals(watch)?.measurements;
  const client = promClient as PromClient;
  const made = (['Counter', 'Gauge', 'Histogram'] as const).every((name) => typeof client?.[name] === 'function');
  const registers = (options.registers ?? [client?.register]) as readonly Registry[];
  const registries = registers.every((register) => typeof register?.getSingleMetric === 'function');
  throwIssues([
    ...(measured ? [] : [{ message: 'collectMetrics() takes a watch that createWatch() made', solution: undefined }]),
    ...(made
      ? []
      : [
          { message: 'this is not prom-client', solution: "import * as promClient from 'prom-client', and pass that." },
        ]),
    ...(registries ? [] : [{ message: "registers are prom-client's Registry objects", solution: undefined }]),
  ]);
  for (const register of registers) familyOf(client, register).add(measured!);
}

const stateMetric = 'walwatch_state';
const families = new WeakMap<Registry, Family>();

/** The one of a registry, unless the registry has been cleared since. */
function familyOf(client: PromClient, register: Registry): Family {
  const known = families.get(register);
  if (known && register.getSingleMetric(stateMetric) === known.state) return known;
  const family = new Family(client, register);
  families.set(register, family);
  return family;
}

/** Of what is known at any time: read when it is asked for. */
const gauges: readonly (readonly [name: string, help: string, value: (of: Measurements) => number | undefined])[] = [
  ['walwatch_handlers_in_flight', 'Handlers that run now', (of) => of.status().running],
  ['walwatch_undelivered_bytes', 'Memory taken by changes whose handlers are not done', (of) => of.status().undeliveredBytes],
  ['walwatch_receiving_bytes', 'Received of the transaction that is coming in; 0 between transactions', (of) => of.status().receiving?.bytes ?? 0],
  ['walwatch_lag_bytes', 'WAL between the end that the server named last and the confirmed position', (of) => of.status().lagBytes],
  ['walwatch_lag_seconds', 'How long the oldest commit that is not handled has been waiting', (of) => of.lagSeconds()],
  ['walwatch_retained_wal_bytes', 'WAL that the server keeps for the slot', (of) => of.retainedWal()],
  ['walwatch_retained_wal_limit_bytes', 'max_slot_wal_keep_size of the server, if it is set: past it the slot is lost', (of) => of.retainedWalLimit()],
  ['walwatch_confirmed_lsn', 'Position that was acknowledged last, as a number of bytes', (of) => {
    const { confirmedLsn } = of.status();
    return confirmedLsn === undefined ? undefined : Number(parseLsn(confirmedLsn));
  }],
]; // prettier-ignore

/** For each subscription with `existing`. */
const existingGauges: readonly (readonly [name: string, help: string, value: (of: ExistingStatus) => number | undefined])[] = [
  ['walwatch_existing_rows', 'Existing rows that are handled, of all tables of the subscription', ({ rows }) => rows],
  ['walwatch_existing_estimated_rows', 'Estimated number of existing rows, if it is known', ({ estimatedRows }) => estimatedRows],
  ['walwatch_existing_done', '1 when all existing rows are handled, otherwise 0', ({ state }) => (state === 'done' ? 1 : 0)],
]; // prettier-ignore

const states = Object.keys({
  idle: 0, connecting: 0, standby: 0, streaming: 0, disconnected: 0, stopping: 0, stopped: 0, failed: 0,
} satisfies Record<WatchState, 0>) as WatchState[]; // prettier-ignore

/** Seconds. Most handlers write to a database or ask another service. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The time series of one watcher or named subscription. */
interface Series {
  readonly events: Counting;
  readonly seconds: Observing;
  readonly retries: Counting;
  readonly skipped: Counting;
  readonly deadLetters: Counting;
}

/** The metrics of one registry, which all watches share that are collected there. */
class Family {
  readonly state: Gauge;
  readonly #watches = new Set<Measurements>();
  readonly #counters: Readonly<Record<Exclude<keyof Series, 'seconds'>, Metric<Counting>>>;
  readonly #seconds: Metric<Observing>;

  constructor(client: PromClient, register: Registry) {
    const registers = [register];
    const labelNames = ['slot', 'watcher', 'subscription'];
    const counter = (name: string, help: string) => new client.Counter({ name, help, labelNames, registers });
    this.#counters = {
      events: counter('walwatch_events_total', 'Events whose handler has succeeded'),
      retries: counter('walwatch_retries_total', 'Attempts that failed and are made again'),
      skipped: counter('walwatch_skipped_events_total', 'Events that were skipped because their handler failed'),
      deadLetters: counter('walwatch_dead_letters_total', 'Events that went to dead letters'),
    };
    this.#seconds = new client.Histogram({
      name: 'walwatch_handler_duration_seconds', help: 'Attempts of handlers, failed ones included', labelNames, registers, buckets,
    }); // prettier-ignore
    const gauge = (name: string, help: string, tell: (of: Measurements, set: Gauge['set']) => void, more: string[] = []) => {
      const made: Gauge = new client.Gauge({
        name, help, registers, labelNames: ['slot', ...more],
        collect: () => {
          made.reset();
          for (const watch of this.#running()) tell(watch, (labels, value) => made.set(labels, value));
        },
      }); // prettier-ignore
      return made;
    }; // prettier-ignore
    for (const [name, help, valueOf] of gauges) {
      gauge(name, help, (of, set) => {
        const value = valueOf(of);
        if (value !== undefined) set({ slot: of.status().slot }, value);
      });
    }
    this.state = gauge(stateMetric, '1 for the state that the watch is in, 0 for the others', (of, set) => {
      const { slot, state: now } = of.status();
      for (const state of states) set({ slot, state }, state === now ? 1 : 0);
    }, ['state']); // prettier-ignore
    const existing = (name: string, help: string, valueOf: (of: ExistingStatus) => number | undefined) =>
      gauge(name, help, (of, set) => {
        const { slot, existing: readings } = of.status();
        for (const reading of readings) {
          const value = valueOf(reading);
          if (value !== undefined) set({ slot, subscription: reading.subscription }, value);
        }
      }, ['subscription']); // prettier-ignore
    for (const [name, help, valueOf] of existingGauges) existing(name, help, valueOf);
    const reconnects = new client.Counter({
      name: 'walwatch_reconnects_total', help: 'Connections after the first', labelNames: ['slot'], registers,
      collect: () => {
        reconnects.reset();
        for (const watch of this.#watches) reconnects.labels({ slot: watch.status().slot }).inc(watch.reconnects());
      },
    }); // prettier-ignore
  }

  add(watch: Measurements): void {
    if (this.#watches.has(watch)) return;
    this.#watches.add(watch);
    const { slot } = watch.status();
    const series = new Map<string, Map<string, Series>>();
    // There may be a million subscriptions: only those with a name of their own are told apart.
    const seriesOf = ({ watcher, settings: { name = '' } }: Recipient): Series => {
      let named = series.get(watcher);
      if (!named) series.set(watcher, (named = new Map()));
      let one = named.get(name);
      if (!one) named.set(name, (one = this.#series({ slot, watcher, subscription: name })));
      return one;
    };
    watch.observe({
      attempted(recipient, seconds, done) {
        const of = seriesOf(recipient);
        of.seconds.observe(seconds);
        if (done) of.events.inc();
      },
      failed({ recipient, action }) {
        const of = seriesOf(recipient);
        if (action === 'retry') of.retries.inc();
        else if (action === 'skip') of.skipped.inc();
        else if (action === 'deadLetter') of.deadLetters.inc();
      },
    });
  }

  #series(labels: Labels): Series {
    const counting = (of: Metric<Counting>): Counting => {
      const child = of.labels(labels);
      child.inc(0); // it begins at 0, so that the first one is an increase
      return child;
    };
    const { events, retries, skipped, deadLetters } = this.#counters;
    return {
      events: counting(events),
      retries: counting(retries),
      skipped: counting(skipped),
      deadLetters: counting(deadLetters),
      seconds: this.#seconds.labels(labels),
    };
  }

  /** Those that were stopped have nothing more to tell but their counts. */
  *#running(): Iterable<Measurements> {
    for (const watch of this.#watches) if (watch.status().state !== 'stopped') yield watch;
  }
}
