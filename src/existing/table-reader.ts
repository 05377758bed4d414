import type { Ledger } from '../changes/ledger.ts';
import type { Lsn } from '../postgres/lsn.ts';
import type { Deliver } from '../routing/router.ts';
import type { Route } from '../routing/route.ts';
import type { ActiveSubscription } from '../routing/subscription.ts';
import type { WatchError } from '../errors.ts';
import { type ChunkEnd, type ChunkFacts, lastKey, mostBytes, type ReadPlan, type ReadRow } from './chunk.ts';
import type { ChunkRow } from './chunk-row.ts';
import { ExistingOccurrence, ExistingRouting } from './existing-row.ts';
import type { ExistingStream } from './existing-stream.ts';
import type { ResolvedExisting } from './options.ts';
import { Pause } from './pause.ts';
import { currentLsn, untilSettled } from './settled.ts';
import type { Splices } from './splices.ts';
import { saveState, type State, type StateKey } from './state.ts';
import { TableReading } from './table-reading.ts';
import { TableRecorder } from './table-recorder.ts';
import { blocked, taken, tooSlow } from './warnings.ts';

/** A table of a subscription. */
export interface ReadTable {
  /** `schema.table`, as it is stored and shown. */
  readonly name: string;
  readonly routes: readonly Route[];
}

export interface TableReaderHost {
  readonly subscription: ActiveSubscription;
  readonly options: ResolvedExisting;
  readonly splices: Splices;
  readonly ledger: Pick<Ledger, 'hold' | 'settle'>;
  readonly slot: string;
  readonly worker: string;
  readonly deliver: Deliver;
  warn(warning: WatchError): void;
  /** The number of handled rows of the table. */
  handled(rows: number): void;
  /** Before each chunk. */
  beforeChunk(stream: ExistingStream): Promise<void>;
}

/** Milliseconds between two stores of the progress while a handler is slow. */
const storeEvery = 1000;
/** The same between chunks: each store is a commit. */
const storeOften = 200;
/** Milliseconds that the handlers of rows may have the event loop at once. */
const turn = 1;
/** Milliseconds that it should take to read a chunk. */
const chunkTime = 15;
/** Milliseconds that handlers may take while a chunk is read, which must not be late because of them. */
const earlyTime = 100;
/** A chunk of fewer rows is not made smaller because it takes long: then it is not its rows that take long. */
const fewestRows = 500;
/** The rows of a chunk are in memory at once. */
const mostRows = 3000;

/** Reads the rows of one table for one subscription. Outlives a connection, because rows that were given are still handled. */
export class TableReader {
  readonly table: ReadTable;
  readonly rows: TableReading;
  readonly run: number;
  readonly oid: number;
  plan: ReadPlan;
  /** All rows are read, and this is stored. */
  isDone: boolean;
  readonly #host: TableReaderHost;
  readonly #of: StateKey;
  readonly #pause = new Pause();
  #chunk: number;
  /** Milliseconds that handlers have taken while the chunk was read. */
  #early = 0;
  /** The last chunk was given up. Maybe the table was locked. */
  #late = false;
  /** Milliseconds of the monotonic clock. */
  #storedAt = 0;

  constructor(host: TableReaderHost, table: ReadTable, plan: ReadPlan, of: StateKey, state: State) {
    const { subscription, options, splices, ledger, worker } = host;
    this.#host = host;
    this.table = table;
    this.plan = plan;
    this.run = state.run;
    this.oid = plan.table.oid;
    this.isDone = state.done;
    this.#of = of;
    this.#chunk = options.chunk;
    const recorder = subscription.settings.transaction ? new TableRecorder(of, worker, state.run) : undefined;
    this.rows = new TableReading(
      {
        watchers: new Set(table.routes.map(({ name }) => name)),
        get active() {
          return subscription.active;
        },
        ledger,
        deferrable: () => this.plan.order.isDeferrable,
        recorder,
        give: (row) => this.#give(row),
        wake: () => {
          host.handled(this.rows.handled);
          this.#pause.wake();
        },
      },
      `existing/${options.version}/${state.run}/${table.name}`,
      plan.order.names,
      state,
    );
    recorder?.of(this.rows);
    if (!state.done) splices.add(this.oid, this.rows);
  }

  /** It was read in part. */
  get isInTheMiddle(): boolean {
    return this.rows.end !== undefined && !this.rows.done;
  }

  /** Reads on. `moved`: too many rows have changed their keys, so the table must be read from the start again. */
  async read(stream: ExistingStream): Promise<'done' | 'moved' | 'ended'> {
    const { rows } = this;
    if (rows.end === undefined && !rows.done) await this.#findEnd(stream);
    for (;;) {
      await this.idle(stream);
      if (!this.#goesOn(stream)) return 'ended';
      rows.finish();
      if (rows.keyChanges.tooMany) return 'moved';
      if (rows.done || performance.now() > this.#storedAt + storeOften) await this.#store(stream);
      if (rows.done) break;
      await this.#host.beforeChunk(stream);
      await this.#readChunk(stream);
    }
    this.#host.splices.remove(this.oid, rows);
    this.isDone = true;
    return 'done';
  }

  /** Waits until the rows that were given are handled. */
  async idle(stream: ExistingStream): Promise<void> {
    while (this.rows.given > 0 && this.#goesOn(stream)) await this.#pause.wait(storeEvery);
  }

  /** Stores the progress, unless a handler's transaction may have stored more than is known here. */
  async store(stream: ExistingStream): Promise<void> {
    const { rows } = this;
    const isCertain = !this.#host.subscription.settings.transaction || rows.given === 0;
    if (isCertain && !rows.keyChanges.tooMany) await this.#store(stream);
  }

  /** Ends the current wait, so that reading stops if the connection or the watch is ending. */
  wake(): void {
    this.#pause.wake();
  }

  /** `forGood`: its state does not matter any more. */
  end(forGood: boolean): void {
    this.#pause.end();
    this.rows.discard();
    this.#host.splices.remove(this.oid, this.rows);
    if (forGood) this.rows.keyChanges.clear();
  }

  #goesOn(stream: ExistingStream): boolean {
    return !stream.closed && this.#host.subscription.active;
  }

  /** Rule 1: a writer from before the stream publishes nothing of what it wrote, so reading begins when none is left. */
  async #findEnd(stream: ExistingStream): Promise<void> {
    const { plan, rows } = this;
    const { subscription } = this.#host;
    await untilSettled(stream, (blockers) => this.#host.warn(blocked(subscription.name, blockers)));
    // What changed its key until then is read where it is. The first chunk would wait for the same.
    await stream.passed(await stream.use(currentLsn), () => !subscription.active);
    if (!this.#goesOn(stream)) return;
    rows.follow();
    rows.endAt(await stream.use((client) => lastKey(client, plan)));
  }

  /** Reads the next rows, and gives them while others still come. */
  async #readChunk(stream: ExistingStream): Promise<void> {
    const { rows, plan } = this;
    const limit = this.#chunk;
    const locks = this.#late;
    const moved = rows.keyChanges.next;
    const began = performance.now();
    this.#early = 0;
    let giving: Promise<void> | undefined;
    let read: ChunkEnd | undefined;
    const begin = ({ snapshot, lsn }: ChunkFacts) => {
      rows.keyChanges.read(moved.length);
      rows.begin(snapshot, plan.plan, Date.now());
      giving = this.#giveRest(stream, lsn);
      giving.catch(() => {}); // it is awaited below
    };
    const complete = (chunk: ChunkEnd) => {
      read = chunk;
      rows.complete(chunk);
    };
    const target = { begin, add: (row: ReadRow) => rows.add(row), complete };
    let took = 0;
    try {
      await stream.chunk(plan, { after: rows.start, end: rows.end, limit, moved, locks }, target);
    } finally {
      took = performance.now() - began - this.#early;
      if (!read) rows.discard();
      await giving;
    }
    this.#late = read === undefined;
    if (this.#late && locks && limit === 1 && this.#goesOn(stream)) throw tooSlow(this.table.name, Math.round(took));
    this.#adapt(took, read);
  }

  /** Few rows delay the changes of their table little; many cost fewer statements. `chunk`: undefined when it was given up. */
  #adapt(milliseconds: number, chunk: ChunkEnd | undefined): void {
    const before = this.#chunk;
    if (chunk === undefined) this.#chunk = Math.max(1, Math.floor(before / 4));
    else if (chunk.isLarge) this.#chunk = Math.max(1, Math.floor(chunk.scanned / 2));
    else {
      const factor = Math.min(2, Math.max(0.5, chunkTime / milliseconds), mostBytes / 2 / chunk.bytes);
      const fewest = Math.min(before, fewestRows);
      this.#chunk = Math.min(this.#host.options.most, mostRows, Math.max(fewest, Math.ceil(before * factor)));
    }
  }

  /**
   * Rule 5: the others one by one, when the subscription has nothing else to do. `lsn`: what the snapshot sees was written before.
   * While more rows come, the table's changes wait for these, so none is given then if there is a change.
   */
  async #giveRest(stream: ExistingStream, lsn: Lsn): Promise<void> {
    const { rows } = this;
    const { concurrency, batch } = this.#host.subscription.settings;
    const most = concurrency * (batch?.size ?? 1);
    let stored = Date.now();
    // Also when no row waits: the snapshot may see a key change that took a row out of the range, and the next chunk would not know it.
    await stream.passed(lsn, () => !this.#host.subscription.active);
    while (this.#goesOn(stream) && !rows.chunkDone) {
      const begin = performance.now();
      const until = begin + turn;
      const mayGive = !rows.arrives || (this.#early < earlyTime && !stream.facts.holds());
      for (let row = rows.next(); row && mayGive && rows.given < most && !this.#isBusy(); row = rows.next()) {
        rows.give(row);
        if (performance.now() > until) break;
      }
      if (rows.arrives) this.#early += performance.now() - begin;
      if (rows.chunkDone) return;
      if (Date.now() - stored > storeEvery) {
        await this.store(stream);
        stored = Date.now();
      }
      if (rows.given >= most) await this.#pause.wait(storeEvery);
      else if (rows.next() && mayGive && !this.#isBusy()) await new Promise<void>((resolve) => setImmediate(resolve));
      else await this.#pause.wait(1);
    }
  }

  /** Something else than rows waits for its handler. */
  #isBusy(): boolean {
    const { lane, settings } = this.#host.subscription;
    return lane !== undefined && settings.batch === undefined && lane.size > this.rows.given * this.table.routes.length;
  }

  #give(row: ChunkRow): void {
    const { subscription, deliver } = this.#host;
    const { change } = row;
    for (const planned of change.plan.watchers.inserted) {
      const { name } = planned.bound.watcher;
      const route = this.table.routes.find((one) => one.name === name);
      if (!route || row.by.includes(name)) continue;
      if (subscription.filter === undefined && planned.bound.watcher.when === undefined) {
        row.expect();
        deliver(subscription, new ExistingOccurrence(planned, change, row), undefined);
        continue;
      }
      const routing = new ExistingRouting(planned, change, row);
      if (!route.matches(subscription, routing) || !routing.isKept) continue;
      row.expect();
      deliver(subscription, routing.occurrence, routing.error);
    }
    row.expected();
  }

  async #store(stream: ExistingStream): Promise<void> {
    const { entries, stored } = this.rows.keyChanges.store();
    const state = this.rows.state(this.run, entries);
    const kept = await stream.use((client) => saveState(client, this.#of, this.#host.worker, state));
    if (!kept) throw taken(this.#host.subscription.name, this.table.name);
    this.#storedAt = performance.now();
    stored();
  }
}
