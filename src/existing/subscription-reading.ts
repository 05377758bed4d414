import type { Client } from 'pg';
import type { Ledger } from '../changes/ledger.ts';
import type { WatchError } from '../errors.ts';
import type { TypeCatalog } from '../postgres/types.ts';
import type { Deliver } from '../routing/router.ts';
import type { Route } from '../routing/route.ts';
import type { ActiveSubscription } from '../routing/subscription.ts';
import type { Logger } from '../types/logger.ts';
import type { ReadPlan } from './chunk.ts';
import type { ExistingStream } from './existing-stream.ts';
import type { ResolvedExisting } from './options.ts';
import { Pause } from './pause.ts';
import { Progress } from './progress.ts';
import { estimateRows, readPlan, TableDropped } from './read-plan.ts';
import type { Barrier, Splices } from './splices.ts';
import { type Difference, type Restart, type State, type StateKey, takeState } from './state.ts';
import { type ReadTable, TableReader } from './table-reader.ts';
import { dropped, interrupted, readAgain } from './warnings.ts';

export interface SubscriptionReadingHost {
  readonly splices: Splices;
  readonly ledger: Pick<Ledger, 'hold' | 'settle'>;
  readonly types: TypeCatalog;
  readonly slot: string;
  readonly worker: string;
  /** The table walwatch.existing may be made. */
  readonly create: boolean;
  readonly deliver: Deliver;
  readonly log: Logger;
  warn(warning: WatchError): void;
}

/** Milliseconds between two lines in the log. */
const logEvery = 10_000;
const longestPause = 5000;
/** Milliseconds that changes of the tables wait for the stored state at most. */
const patience = 3000;

/** Reads the existing rows of the tables of one subscription, one table after the other. */
export class SubscriptionReading {
  readonly subscription: ActiveSubscription;
  readonly options: ResolvedExisting;
  readonly progress: Progress;
  readonly tables: readonly ReadTable[];
  readonly #host: SubscriptionReadingHost;
  readonly #readers = new Map<string, TableReader>();
  /** The tables that must be read from the start again, and why. */
  readonly #restarts = new Map<string, Restart>();
  /** Tables that were dropped. */
  readonly #gone = new Set<string>();
  readonly #pause = new Pause();
  #stream: ExistingStream | undefined;
  /** The connection beside which `read()` reads at this moment. */
  #readingBeside: ExistingStream | undefined;
  /** The progress in memory is out of date: the stored state counts. */
  #stale = false;
  /** Until the stored state is known, no change of the table passes: it may change a key. By table. */
  readonly #barriers = new Map<string, Barrier>();
  #barrierTimer: NodeJS.Timeout | undefined;
  /** Tables of which changes passed all the same, because it took too long. */
  readonly #missed = new Set<string>();
  #loggedAt = 0;

  constructor(
    subscription: ActiveSubscription,
    routes: readonly Route[],
    options: ResolvedExisting,
    host: SubscriptionReadingHost,
  ) {
    this.subscription = subscription;
    this.options = options;
    this.#host = host;
    const inserted = routes.filter(({ watcher }) => watcher.type === 'inserted');
    const names = [...new Set(inserted.map(tableName))];
    this.progress = new Progress(options.version, names.length);
    this.tables = names.map((name) => ({ name, routes: inserted.filter((route) => tableName(route) === name) }));
  }

  /** Rows that were read may be out of date: changes were lost, or the handler subscribed after the start. */
  restart(why: 'gap' | 'late'): void {
    for (const { name } of this.tables) this.#restarts.set(name, why);
    if (this.options.afterGap === 'read') this.progress.again();
  }

  /** Rows that waited for their handlers were dropped: the stored state is the progress. */
  forget(): void {
    this.#stale = true;
  }

  /** Reads beside a connection, until all is read or the connection ends. Does nothing if it already does. */
  async read(stream: ExistingStream): Promise<void> {
    if (this.#readingBeside === stream) return;
    this.#stream = this.#readingBeside = stream;
    try {
      await this.#read(stream);
    } finally {
      if (this.#readingBeside === stream) this.#readingBeside = undefined;
    }
  }

  async #read(stream: ExistingStream): Promise<void> {
    if (this.#stale || this.#readers.size === 0) this.#bar(stream);
    let failures = 0;
    for (let before = this.progress.rows; this.#goesOn(stream); failures++) {
      try {
        await this.#readAll(stream);
        return;
      } catch (error) {
        if (!this.#goesOn(stream)) return;
        for (const { rows } of this.#readers.values()) rows.discard();
        if (this.progress.rows > before) failures = 0;
        before = this.progress.rows;
        if (failures === 0) this.#host.warn(interrupted(this.subscription.name, error));
        await this.#pause.wait(Math.min(longestPause, 250 * 2 ** Math.min(failures, 6)));
      }
    }
  }

  /** Ends all waits, so that reading stops if the connection or the watch is ending. */
  wake(): void {
    this.#pause.wake();
    for (const reader of this.#readers.values()) reader.wake();
  }

  /** The connection has ended. */
  disconnected(): void {
    this.#stream = undefined;
    clearTimeout(this.#barrierTimer);
    this.#barriers.clear();
    for (const { rows } of this.#readers.values()) rows.discard();
    this.wake();
  }

  /** The subscription has ended, or with `forGood: false` the watch. */
  end(reason: unknown, forGood: boolean): void {
    clearTimeout(this.#barrierTimer);
    for (const { name } of this.tables) this.#unbar(name);
    for (const reader of this.#readers.values()) reader.end(forGood);
    this.#pause.end();
    this.progress.end(reason);
  }

  /** Stores the progress of the tables, if possible. */
  async store(): Promise<void> {
    const stream = this.#stream;
    if (!stream || this.#stale) return;
    for (const reader of this.#readers.values()) if (!reader.isDone) await reader.store(stream).catch(() => {}); // a crash would not have stored it either
  }

  /** Keeps changes of the tables back until `#take()`, but not for long. */
  #bar(stream: ExistingStream): void {
    for (const { name, routes } of this.tables) {
      const oid = routes[0]!.bound?.table.oid;
      if (oid !== undefined) this.#barriers.set(name, stream.bar(oid));
    }
    this.#barrierTimer = setTimeout(() => {
      for (const name of this.#barriers.keys()) {
        this.#missed.add(name);
        this.#unbar(name);
      }
    }, patience);
  }

  #unbar(table: string): void {
    this.#barriers.get(table)?.open();
    this.#barriers.delete(table);
  }

  #goesOn(stream: ExistingStream): boolean {
    return !stream.closed && this.subscription.active;
  }

  async #readAll(stream: ExistingStream): Promise<void> {
    for (const reader of this.#readers.values()) await reader.idle(stream);
    if (this.#stale) {
      for (const reader of this.#readers.values()) reader.end(true);
      this.#readers.clear();
      this.#stale = false;
    }
    for (const table of this.tables) {
      if (!this.#goesOn(stream)) return;
      await this.#take(table, stream);
      if (this.#missed.delete(table.name) && this.#readers.get(table.name)?.isInTheMiddle) {
        this.#restarts.set(table.name, 'moved');
        await this.#take(table, stream);
      }
      this.#unbar(table.name);
    }
    clearTimeout(this.#barrierTimer);
    for (const table of this.tables) {
      for (let end = await this.#readTable(table, stream); end !== 'done'; end = await this.#readTable(table, stream)) {
        if (end === 'ended') return;
        this.#restarts.set(table.name, end);
        await this.#take(table, stream);
      }
    }
    this.progress.finish();
  }

  async #readTable({ name }: ReadTable, stream: ExistingStream): Promise<'done' | 'moved' | 'ended'> {
    if (!this.#goesOn(stream)) return 'ended';
    const reader = this.#readers.get(name);
    if (!reader || reader.isDone) return 'done';
    const log = () => ({ subscription: this.subscription.name, table: name, rows: reader.rows.handled });
    this.#host.log.info(log(), 'reading existing rows');
    this.#loggedAt = Date.now();
    const end = await reader.read(stream);
    if (end === 'done') this.#host.log.info(log(), 'existing rows are read');
    return end;
  }

  /** Makes the state of a table ours, and compares it with what this worker has read of it. */
  async #take(table: ReadTable, stream: ExistingStream): Promise<void> {
    const { name, routes } = table;
    if (this.#gone.has(name)) return;
    const { facts } = stream;
    const { types, slot, create } = this.#host;
    const watchers = routes.map((route) => route.watcher);
    const known = routes.flatMap((route) => route.bound ?? []);
    try {
      const plan = await stream.use((client) => readPlan(client, watchers, known, types, facts));
      if (!this.#goesOn(stream)) return; // what it missed may be noted already
      const { version, afterGap } = this.options;
      const of: StateKey = { slot, subscription: this.subscription.name, table: name, version };
      const restart = this.#restarts.get(name);
      const expected = { afterGap, key: plan.order.descriptionOf(plan.table) };
      const { state, difference, own } = await stream.use((client) =>
        takeState(client, of, expected, facts.origin, create, restart),
      );
      if (this.#restarts.get(name) === restart) this.#restarts.delete(name);
      if (difference !== undefined) this.#tell(table, difference);
      if (!this.#goesOn(stream)) return; // a reader made now would hold key changes for ever, and so the slot
      const before = this.#readers.get(name);
      if (before && own && before.run === state.run && before.oid === plan.table.oid) {
        before.plan = plan;
        before.rows.finish();
      } else {
        before?.end(true);
        this.#readers.set(name, this.#reader(table, plan, of, state));
      }
      if (!state.done) this.progress.again();
      const estimated = state.done ? state.rows : await stream.use((client) => this.#estimate(client, table, plan));
      this.progress.table(name, this.#readers.get(name)!.rows.handled, estimated);
    } catch (error) {
      if (!(error instanceof TableDropped)) throw error;
      this.#host.warn(dropped(this.subscription.name, error));
      this.#gone.add(name);
      this.#readers.get(name)?.end(true);
      this.#readers.delete(name);
      this.progress.table(name, 0, 0);
    }
  }

  #reader(table: ReadTable, plan: ReadPlan, of: StateKey, state: State): TableReader {
    const { name } = table;
    const host = {
      ...this.#host,
      subscription: this.subscription,
      options: this.options,
      handled: (rows: number) => this.progress.handled(name, rows),
      beforeChunk: (stream: ExistingStream) => this.#beforeChunk(stream),
    };
    return new TableReader(host, table, plan, of, state);
  }

  /** Rows that are filtered here are not known to the server's statistics. */
  async #estimate(client: Client, { routes }: ReadTable, plan: ReadPlan): Promise<number | undefined> {
    const filtered = this.subscription.filter !== undefined || routes.some(({ watcher }) => watcher.when !== undefined);
    return filtered ? undefined : estimateRows(client, plan);
  }

  /** Before each chunk of a table. Others, which were read in part before, follow the changes of their keys. */
  async #beforeChunk(stream: ExistingStream): Promise<void> {
    this.progress.begin();
    for (const reader of this.#readers.values()) if (reader.rows.keyChanges.holds) await reader.store(stream);
    if (Date.now() - this.#loggedAt < logEvery) return;
    this.#loggedAt = Date.now();
    const { rows, estimatedRows } = this.progress;
    this.#host.log.info({ subscription: this.subscription.name, rows, estimatedRows }, 'reading existing rows');
  }

  #tell({ name }: ReadTable, difference: Difference): void {
    if (difference === 'version') {
      const log = { subscription: this.subscription.name, table: name, version: this.options.version };
      this.#host.log.info(log, 'a new version: existing rows are read again');
      return;
    }
    const reads = this.options.afterGap === 'read' || difference === 'key' || difference === 'moved';
    this.#host.warn(readAgain(this.subscription.name, name, difference, reads));
  }
}

function tableName({ watcher: { table } }: Route): string {
  return `${table.schema}.${table.name}`;
}
