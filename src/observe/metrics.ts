import type { Recipient } from '../delivery/recipient.ts';
import { throwIssues } from '../errors.ts';
import { refuseUnknownKeys } from '../option-names.ts';
import { parseLsn } from '../postgres/lsn.ts';
import type { SlotWatch } from '../types/watch.ts';
import { findInternals, type Measurements } from './internals.ts';
import type { WatchState } from '../types/events.ts';

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

/** The parts of prom-client that are used. */
interface PromClient {
  readonly register: Registry;
  readonly Counter: new (configuration: Configuration) => Metric<Counting> & { reset(): void };
  readonly Gauge: new (configuration: Configuration) => Gauge;
  readonly Histogram: new (configuration: Configuration) => Metric<Observing>;
}

/**
 * Registers the metrics of a watch with the given prom-client. Several watches of a process can share them; the label
 * `slot` distinguishes them. `docs/how-to/monitor.md` lists the metrics.
 *
 * @example
 * ```ts
 * import * as promClient from 'prom-client';
 * collectMetrics(watch, promClient);
 * response.setHeader('content-type', promClient.register.contentType).end(await promClient.register.metrics());
 * ```
 * @throws ConfigurationError when the arguments are not a watch of `createWatch` and a prom-client
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
    ...(measured
      ? []
      : [{ message: 'collectMetrics() needs a watch that createWatch() returned', solution: undefined }]),
    ...(made
      ? []
      : [
          {
            message: 'this is not prom-client',
            solution: "Pass promClient of: import * as promClient from 'prom-client'",
          },
        ]),
    ...(registries ? [] : [{ message: 'registers must be Registry objects of prom-client', solution: undefined }]),
  ]);
  for (const register of registers) familyOf(client, register).add(measured!);
}

const stateMetric = 'walwatch_state';
const families = new WeakMap<Registry, Family>();

/** The registry's family. If the registry has been cleared, a new one. */
function familyOf(client: PromClient, register: Registry): Family {
  const known = families.get(register);
  if (known && register.getSingleMetric(stateMetric) === known.state) return known;
  const family = new Family(client, register);
  families.set(register, family);
  return family;
}

/** Gauges: their values are read when they are collected. */
const gauges: readonly (readonly [name: string, help: string, value: (of: Measurements) => number | undefined])[] = [
  ['walwatch_handlers_in_flight', 'Handlers that are running now', (of) => of.status().running],
  ['walwatch_undelivered_bytes', 'Memory used by changes whose handlers have not finished', (of) => of.status().undeliveredBytes],
  ['walwatch_receiving_bytes', 'Bytes received of the current transaction; 0 between transactions', (of) => of.status().receiving?.bytes ?? 0],
  ['walwatch_lag_bytes', 'WAL between the last known end of WAL and the confirmed position', (of) => of.status().lagBytes],
  ['walwatch_lag_seconds', 'Age of the oldest unhandled commit', (of) => of.lagSeconds()],
  ['walwatch_retained_wal_bytes', 'WAL that the server retains for the slot', (of) => of.retainedWal()],
  ['walwatch_retained_wal_limit_bytes', 'max_slot_wal_keep_size of the server, if it is set: beyond it the slot is lost', (of) => of.retainedWalLimit()],
  ['walwatch_confirmed_lsn', 'Last acknowledged position, as a number of bytes', (of) => {
    const { confirmedLsn } = of.status();
    return confirmedLsn === undefined ? undefined : Number(parseLsn(confirmedLsn));
  }],
]; // prettier-ignore

const states = Object.keys({
  idle: 0, connecting: 0, standby: 0, streaming: 0, disconnected: 0, stopping: 0, stopped: 0, failed: 0,
} satisfies Record<WatchState, 0>) as WatchState[]; // prettier-ignore

/** Seconds. Most handlers write to a database or call another service. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The time series of one watcher or named subscription. */
interface Series {
  readonly events: Counting;
  readonly seconds: Observing;
  readonly retries: Counting;
  readonly skipped: Counting;
  readonly deadLetters: Counting;
}

/** The metrics of one registry, shared by all watches collected there. */
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
      events: counter('walwatch_events_total', 'Events whose handler succeeded'),
      retries: counter('walwatch_retries_total', 'Failed attempts that are retried'),
      skipped: counter('walwatch_skipped_events_total', 'Events skipped because their handler failed'),
      deadLetters: counter('walwatch_dead_letters_total', 'Events that became dead letters'),
    };
    this.#seconds = new client.Histogram({
      name: 'walwatch_handler_duration_seconds', help: 'Duration of handler attempts, including failed ones', labelNames, registers, buckets,
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
    this.state = gauge(stateMetric, '1 for the current state of the watch, 0 for the others', (of, set) => {
      const { slot, state: now } = of.status();
      for (const state of states) set({ slot, state }, state === now ? 1 : 0);
    }, ['state']); // prettier-ignore
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
    // There may be a million subscriptions: only named ones get their own series.
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
      child.inc(0); // start at 0, so that the first event is an increase
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

  /** Stopped watches report only their counters. */
  *#running(): Iterable<Measurements> {
    for (const watch of this.#watches) if (watch.status().state !== 'stopped') yield watch;
  }
}
