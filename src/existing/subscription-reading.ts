import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Captured, Ledger } from '../changes/ledger.ts';
import type { Recorder } from '../delivery/recorder.ts';
import type { ResolvedExisting } from './options.ts';
import type { TypeCatalog } from '../postgres/types.ts';
import type { Deliver } from '../routing/router.ts';
import type { Route } from '../routing/route.ts';
import type { ActiveSubscription } from '../routing/subscription.ts';
import type { Logger } from '../types/logger.ts';
import { WatchError } from '../errors.ts';
import { quoteTable } from '../postgres/server.ts';
import { quoteIdentifier } from '../postgres/server.ts';
import { type Chunk, fromTable, type ReadPlan, TableChanged } from './chunk.ts';
import { type ExistingChange, ExistingRouting } from './existing-row.ts';
import type { ExistingStream } from './existing-stream.ts';
import type { KeyTexts } from './key-order.ts';
import { Progress } from './progress.ts';
import { estimateRows, readPlan } from './read-plan.ts';
import { untilSettled } from './settled.ts';
import type { Splices } from './splices.ts';
import { type Difference, saveState, lockState, type State, type StateKey, takeState } from './state.ts';
import { TableReading } from './table-reading.ts';

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

/** The tables of one subscription. */
interface ReadTable {
  /** `schema.table`, as it is stored and shown. */
  readonly name: string;
  readonly routes: readonly Route[];
}

/** Milliseconds between two stores of how far a table is read, when its handler is slow. */
const storeEvery = 1000;
/** The same between chunks: each store is a commit. */
const storeOften = 200;
/** Milliseconds that the handlers of rows may have the event loop at once. */
const turn = 2;
const chunkTime = { short: 5, long: 20 };
const mostRows = 5000;

/** Reads the existing rows of the tables of one subscription, one table after the other. */
export class SubscriptionReading implements Recorder {
  readonly subscription: ActiveSubscription;
  readonly options: ResolvedExisting;
  readonly progress: Progress;
  readonly #host: SubscriptionReadingHost;
  readonly #tables: readonly ReadTable[];
  /** Of the table that is being read. It outlives a connection, because rows that were given are still handled. */
  #reading:
    { readonly table: ReadTable; readonly oid: number; readonly run: number; readonly rows: TableReading } | undefined;
  #stream: ExistingStream | undefined;
  #gap = false;
  #late = false;
  #chunk: number;
  #woken: (() => void) | undefined;
  #giving = false;

  constructor(
    subscription: ActiveSubscription,
    routes: readonly Route[],
    options: ResolvedExisting,
    host: SubscriptionReadingHost,
  ) {
    this.subscription = subscription;
    this.options = options;
    this.#host = host;
    this.#chunk = options.chunk;
    const inserted = routes.filter(({ watcher }) => watcher.type === 'inserted');
    const names = [...new Set(inserted.map(tableName))];
    this.progress = new Progress(options.version, names.length);
    this.#tables = names.map((name) => ({ name, routes: inserted.filter((route) => tableName(route) === name) }));
  }

  /** Changes of the stream were lost: what was read may be out of date. */
  gap(): void {
    this.#gap = true;
    if (this.options.afterGap === 'read') this.progress.again();
  }

  /** Reads beside a connection, until all is read or the connection ends. `late`: subscribed while it streams. */
  async read(stream: ExistingStream, late: boolean): Promise<void> {
    this.#stream = stream;
    this.#late = late;
    for (let failures = 0; !stream.closed && this.subscription.active; failures++) {
      try {
        const again = this.#gap || this.#late;
        for (const table of this.#tables) await this.#readTable(table, stream, again);
        if (stream.closed || !this.subscription.active) return;
        if (this.#gap && !again) continue;
        this.#gap = this.#late = false;
        this.progress.finish();
        return;
      } catch (error) {
        if (stream.closed || !this.subscription.active) return;
        this.#reading?.rows.discard();
        if (failures === 0 || failures === 10) this.#host.warn(interrupted(this.subscription.name, error));
        await delay(Math.min(10_000, 250 * 2 ** Math.min(failures, 6)));
      }
    }
  }

  /** The connection has ended. */
  disconnected(): void {
    this.#stream = undefined;
    this.#reading?.rows.discard();
    this.#wake();
  }

  /** The subscription or the watch has ended. */
  end(reason: unknown): void {
    this.disconnected();
    this.#forget();
    this.progress.end(reason);
  }

  async fresh(client: Client, changes: readonly Captured[]): Promise<ReadonlySet<Captured>> {
    const { table, rows } = this.#reading!;
    const stored = await lockState(client, this.#keyOf(table), this.#host.worker);
    if (!stored) throw taken(this.subscription.name, table.name);
    return rows.notIn(stored, changes as readonly ExistingChange[]);
  }

  record(client: Client, changes: readonly Captured[], attempt: string): Promise<boolean> {
    const { table, rows, run } = this.#reading!;
    const state = rows.stateAfter(run, changes as readonly ExistingChange[]);
    return saveState(client, this.#keyOf(table), this.#host.worker, state, attempt);
  }

  /** Stores how far the table is read, as far as that is possible. */
  async store(): Promise<void> {
    const stream = this.#stream;
    if (stream && !stream.closed && this.#reading) await this.#store(stream).catch(() => {}); // a crash would not have stored it either
  }

  async #readTable(table: ReadTable, stream: ExistingStream, gap: boolean): Promise<void> {
    await this.#idle(stream);
    if (stream.closed) return;
    const bound = table.routes.map((route) => route.bound!);
    const { facts } = stream;
    const plan = await stream.use((client) => readPlan(client, bound, this.#host.types, facts));
    const of = this.#keyOf(table);
    this.#reading?.rows.finish();
    const { state, difference } = await stream.use((client) =>
      takeState(client, of, { ...this.options, key: plan.order.description }, facts.origin, this.#host.create, gap),
    );
    if (difference !== undefined) this.#tell(table, difference);
    const reading = this.#begin(table, plan, state);
    if (state.done) {
      this.#forget();
      this.progress.table(table.name, state.rows, state.rows);
      return;
    }
    this.progress.table(table.name, state.rows, await stream.use((client) => estimateRows(client, plan)));
    this.#host.log.info(
      { subscription: this.subscription.name, table: table.name, rows: state.rows },
      'reading existing rows',
    );
    if (reading.rows.end === undefined) await this.#findEnd(stream, plan, reading.rows);
    await this.#readChunks(stream, table, plan);
  }

  /** A reading that goes on keeps the rows that were given; one from the start replaces it. */
  #begin(table: ReadTable, { table: { oid }, order }: ReadPlan, state: State) {
    const before = this.#reading;
    if (before?.table === table && before.run === state.run && before.oid === oid) return before;
    this.#forget();
    const scope = `existing/${this.options.version}/${state.run}/${table.name}`;
    const rows = new TableReading(
      {
        watchers: new Set(table.routes.map(({ name }) => name)),
        ledger: this.#host.ledger,
        recorder: this.subscription.settings.transaction ? this : undefined,
        give: (change, handled) => this.#give(change, handled),
        wake: () => this.#wake(),
      },
      scope,
      order.names,
      state,
    );
    this.#reading = { table, oid, run: state.run, rows };
    if (!state.done) this.#host.splices.add(oid, rows);
    return this.#reading;
  }

  /** Rule 1: a writer from before the stream publishes nothing of what it wrote, so reading begins when none is left. */
  async #findEnd(stream: ExistingStream, { table, order }: ReadPlan, rows: TableReading): Promise<void> {
    await untilSettled(stream, (blockers) => this.#host.warn(blocked(this.subscription.name, blockers)));
    if (stream.closed) return;
    const names = order.names.map(quoteIdentifier).join(', ');
    const found = await stream.use((client) =>
      client.query<string[]>({
        text: `select ${names} from ${fromTable(table)} order by ${order.descending} limit 1`,
        rowMode: 'array',
        types: { getTypeParser: () => (text: string) => text } as never,
      }),
    );
    const end = found.rows[0] as KeyTexts | undefined;
    if (end === undefined) rows.isEmpty();
    else rows.endAt(end);
  }

  async #readChunks(stream: ExistingStream, table: ReadTable, plan: ReadPlan): Promise<void> {
    const { rows } = this.#reading!;
    let storedAt = 0;
    for (;;) {
      await this.#idle(stream);
      if (stream.closed || !this.subscription.active) return;
      rows.finish();
      const now = performance.now();
      if (rows.done || now > storedAt + storeOften) {
        await this.#store(stream);
        storedAt = now;
      }
      if (rows.done) break;
      if (rows.keyChanges.tooMany) throw new TableChanged('too many rows have changed their keys');
      const chunk = await this.#load(stream, plan, rows);
      if (!chunk) continue;
      await stream.passed(chunk.lsn, () => rows.chunkDone);
      await this.#giveRest(stream, rows);
      this.progress.handled(table.name, rows.handled);
    }
    this.#host.log.info(
      { subscription: this.subscription.name, table: table.name, rows: rows.handled },
      'existing rows are read',
    );
    this.#forget();
  }

  async #load(stream: ExistingStream, plan: ReadPlan, rows: TableReading): Promise<Chunk | undefined> {
    const limit = this.#chunk;
    const moved = rows.keyChanges.waiting.slice();
    const began = performance.now();
    let chunk: Chunk | undefined;
    const loaded = await stream.chunk(plan, { after: rows.start, end: rows.end, limit, moved }, (read) => {
      chunk = read;
      rows.keyChanges.read(moved.length);
      rows.load(read, plan, Date.now());
    });
    this.#adapt(loaded ? performance.now() - began : Infinity);
    return chunk;
  }

  #adapt(milliseconds: number): void {
    if (milliseconds > chunkTime.long)
      this.#chunk = Math.max(1, Math.min(100, this.#chunk), Math.floor(this.#chunk / 2));
    else if (milliseconds < chunkTime.short) this.#chunk = Math.min(mostRows, this.options.most, this.#chunk * 2);
  }

  /** Rule 5: the others one by one, when the subscription has nothing else to do. */
  async #giveRest(stream: ExistingStream, rows: TableReading): Promise<void> {
    const { concurrency, batch } = this.subscription.settings;
    const most = concurrency * (batch?.size ?? 1);
    let stored = Date.now();
    while (!stream.closed && this.subscription.active && !rows.chunkDone) {
      const until = performance.now() + turn;
      for (let row = rows.next(); row && rows.given < most && !this.#isBusy(rows); row = rows.next()) {
        rows.give(row);
        if (performance.now() > until) break;
      }
      if (rows.chunkDone) return;
      if (Date.now() - stored > storeEvery) {
        await this.#store(stream);
        stored = Date.now();
      }
      if (rows.given >= most) await this.#woke(storeEvery);
      else if (rows.next() && !this.#isBusy(rows)) await new Promise<void>((resolve) => setImmediate(resolve));
      else await this.#woke(1);
    }
  }

  /** Something else than rows waits for its handler. */
  #isBusy(rows: TableReading): boolean {
    const { lane, settings } = this.subscription;
    return lane !== undefined && settings.batch === undefined && lane.size > rows.given;
  }

  #give(change: ExistingChange, handled: () => void): void {
    const { subscription } = this;
    let left = 1;
    const settledOne = () => {
      if (--left === 0) handled();
    };
    for (const planned of change.plan.watchers.inserted) {
      const route = this.#reading!.table.routes.find(({ name }) => name === planned.bound.watcher.name);
      if (!route) continue;
      const routing = new ExistingRouting(planned, change, settledOne);
      if (!route.matches(subscription, routing) || !routing.isKept) continue;
      left++;
      this.#host.deliver(subscription, routing.occurrence, routing.error);
    }
    settledOne();
  }

  /** Waits until the rows that were given are handled. */
  async #idle(stream: ExistingStream): Promise<void> {
    const rows = this.#reading?.rows;
    while (rows && rows.given > 0 && !stream.closed && this.subscription.active) await this.#woke(storeEvery);
  }

  async #store(stream: ExistingStream): Promise<void> {
    const { table, run, rows } = this.#reading!;
    const { entries, stored } = rows.keyChanges.store();
    const state = rows.state(run, entries);
    const kept = await stream.use((client) => saveState(client, this.#keyOf(table), this.#host.worker, state));
    if (!kept) throw taken(this.subscription.name, table.name);
    stored();
  }

  #keyOf({ name }: ReadTable): StateKey {
    return { slot: this.#host.slot, subscription: this.subscription.name, table: name };
  }

  #forget(): void {
    const reading = this.#reading;
    this.#reading = undefined;
    if (!reading) return;
    this.#host.splices.remove(reading.oid, reading.rows);
    reading.rows.keyChanges.clear();
  }

  #wake(): void {
    this.#woken?.();
  }

  /** Resolves with the next row that is handled, but after so many milliseconds at most. */
  #woke(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, milliseconds);
      const self = this;
      function done() {
        clearTimeout(timer);
        self.#woken = undefined;
        resolve();
      }
      this.#woken = done;
    });
  }

  #tell({ name }: ReadTable, difference: Difference): void {
    const reads = this.options.afterGap === 'read' || difference === 'version' || difference === 'key';
    const then = reads ? 'its existing rows are read again' : "with afterGap: 'ignore' they are not read again";
    const log = { subscription: this.subscription.name, table: name };
    if (difference === 'version') this.#host.log.info(log, `existing rows: a new version (${this.options.version})`);
    else
      this.#host.warn(
        new WatchError('EXISTING_ROWS', `${this.subscription.name}: ${name}: ${reasons[difference]}; ${then}`, {
          solution: 'Rows that were deleted in the gap are not told of: remove what the read rows have not touched.',
        }),
      );
  }
}

const reasons: Readonly<Record<Exclude<Difference, 'version'>, string>> = {
  key: 'the key of the table has changed',
  gap: 'changes were lost',
  elsewhere: 'they were read through another slot or from another server',
  unattended: 'another version of the worker, without this subscription, had the slot since',
};

function tableName({ watcher: { table } }: Route): string {
  return `${table.schema}.${table.name}`;
}

function taken(subscription: string, table: string): WatchError {
  return new WatchError('CONNECTION', `${subscription}: another worker reads the existing rows of ${table}`, {
    solution: 'Nothing, if another worker has taken over the slot.',
  });
}

function blocked(subscription: string, blockers: string): WatchError {
  return new WatchError(
    'EXISTING_ROWS',
    `${subscription}: reading existing rows waits for transactions that began before: ${blockers}`,
    {
      solution:
        'End them, or wait: what they wrote before the stream began is not published, so it must be in the table first.',
    },
  );
}

function interrupted(subscription: string, cause: unknown): WatchError {
  return new WatchError(
    'EXISTING_ROWS',
    `${subscription}: reading existing rows failed and is tried again: ${(cause as Error).message}`,
    {
      solution:
        (cause as Partial<WatchError>).solution ??
        `Look at the error of the server. ${quoteTable({ schema: 'walwatch', name: 'existing' })} has how far they are read.`,
      cause,
    },
  );
}
