import type { Client } from 'pg';
import type { Ledger } from '../changes/ledger.ts';
import { type Lsn, parseLsn } from '../postgres/lsn.ts';
import { quoteIdentifier } from '../postgres/server.ts';
import type { Deliver } from '../routing/router.ts';
import type { Route } from '../routing/route.ts';
import type { ActiveSubscription } from '../routing/subscription.ts';
import type { WatchError } from '../errors.ts';
import { type Chunk, fromTable, mostBytes, type ReadPlan } from './chunk.ts';
import type { ChunkRow } from './chunk-row.ts';
import { ExistingOccurrence, ExistingRouting } from './existing-row.ts';
import type { ExistingStream } from './existing-stream.ts';
import type { KeyTexts } from './key-order.ts';
import type { ResolvedExisting } from './options.ts';
import { Pause } from './pause.ts';
import { untilSettled } from './settled.ts';
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
  /** Between two chunks. */
  between(stream: ExistingStream): Promise<void>;
}

/** Milliseconds between two stores of the progress while a handler is slow. */
const storeEvery = 1000;
/** The same between chunks: each store is a commit. */
const storeOften = 200;
/** Milliseconds that the handlers of rows may have the event loop at once. */
const turn = 2;
/** Milliseconds that a chunk should take. */
const chunkTime = 15;
/** A chunk of fewer rows is not made smaller because it takes long: then it is not its rows that take long. */
const fewestRows = 500;
/** The rows of a chunk are in memory at once. */
const mostRows = 2000;

/** Reads the rows of one table for one subscription. Outlives a connection, because rows that were given are still handled. */
export class TableReader {
  readonly table: ReadTable;
  readonly rows: TableReading;
  readonly run: number;
  readonly oid: number;
  plan: ReadPlan;
  readonly #host: TableReaderHost;
  readonly #of: StateKey;
  readonly #pause = new Pause();
  #chunk: number;
  /** Milliseconds of the monotonic clock. */
  #storedAt = 0;

  constructor(host: TableReaderHost, table: ReadTable, plan: ReadPlan, of: StateKey, state: State) {
    const { subscription, options, splices, ledger, worker } = host;
    this.#host = host;
    this.table = table;
    this.plan = plan;
    this.run = state.run;
    this.oid = plan.table.oid;
    this.#of = of;
    this.#chunk = options.chunk;
    const recorder = subscription.settings.transaction ? new TableRecorder(of, worker, state.run) : undefined;
    this.rows = new TableReading(
      {
        watchers: new Set(table.routes.map(({ name }) => name)),
        ledger,
        recorder,
        give: (row) => this.#give(row),
        wake: () => this.#pause.wake(),
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
    if (rows.done) return 'done';
    if (rows.end === undefined) await this.#findEnd(stream);
    for (;;) {
      await this.idle(stream);
      if (!this.#goesOn(stream)) return 'ended';
      rows.finish();
      if (rows.keyChanges.tooMany) return 'moved';
      if (rows.done || performance.now() > this.#storedAt + storeOften) await this.#store(stream);
      if (rows.done) break;
      await this.#host.between(stream);
      const chunk = await this.#load(stream);
      if (!chunk) continue;
      await stream.passed(chunk.lsn, () => rows.chunkDone || !this.#host.subscription.active);
      await this.#giveRest(stream);
      this.#host.handled(rows.handled);
    }
    this.#host.splices.remove(this.oid, rows);
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

  /** Nothing is read any more for now. */
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

  async #load(stream: ExistingStream): Promise<Chunk | undefined> {
    const { rows } = this;
    const limit = this.#chunk;
    const moved = rows.keyChanges.next;
    const began = performance.now();
    let chunk: Chunk | undefined;
    const request = { after: rows.start, end: rows.end, limit, moved };
    const loaded = await stream.chunk(this.plan, request, (read) => {
      chunk = read;
      rows.keyChanges.read(moved.length);
      rows.load(read, this.plan, Date.now());
    });
    const took = performance.now() - began;
    if (!loaded && limit === 1 && this.#goesOn(stream)) throw tooSlow(this.table.name, Math.round(took));
    this.#adapt(took, loaded ? chunk : undefined);
    return chunk;
  }

  /** Few rows delay the changes of their table little; many cost fewer statements. `chunk`: undefined when it was given up. */
  #adapt(milliseconds: number, chunk: Chunk | undefined): void {
    const before = this.#chunk;
    if (chunk === undefined) this.#chunk = Math.max(1, Math.floor(before / 4));
    else if (chunk.isLarge) this.#chunk = Math.max(1, Math.floor(chunk.scanned / 2));
    else {
      const factor = Math.min(2, Math.max(0.5, chunkTime / milliseconds), mostBytes / 2 / chunk.bytes);
      const fewest = Math.min(before, fewestRows);
      this.#chunk = Math.min(this.#host.options.most, mostRows, Math.max(fewest, Math.ceil(before * factor)));
    }
  }

  /** Rule 5: the others one by one, when the subscription has nothing else to do. */
  async #giveRest(stream: ExistingStream): Promise<void> {
    const { rows } = this;
    const { concurrency, batch } = this.#host.subscription.settings;
    const most = concurrency * (batch?.size ?? 1);
    let stored = Date.now();
    while (this.#goesOn(stream) && !rows.chunkDone) {
      const until = performance.now() + turn;
      for (let row = rows.next(); row && rows.given < most && !this.#isBusy(); row = rows.next()) {
        rows.give(row);
        if (performance.now() > until) break;
      }
      this.#host.handled(rows.handled);
      if (rows.chunkDone) return;
      if (Date.now() - stored > storeEvery) {
        await this.store(stream);
        stored = Date.now();
      }
      if (rows.given >= most) await this.#pause.wait(storeEvery);
      else if (rows.next() && !this.#isBusy()) await new Promise<void>((resolve) => setImmediate(resolve));
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

async function currentLsn(client: Client): Promise<Lsn> {
  const { rows } = await client.query<{ lsn: string }>(
    'select pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text as lsn',
  );
  return parseLsn(rows[0]!.lsn);
}

/** Undefined: the table has no rows. */
async function lastKey(client: Client, { table, order }: ReadPlan): Promise<KeyTexts | undefined> {
  const names = order.names.map(quoteIdentifier).join(', ');
  const { rows } = await client.query<string[]>({
    text: `select ${names} from ${fromTable(table)} order by ${order.descending} limit 1`,
    rowMode: 'array',
    types: { getTypeParser: () => (text: string) => text } as never,
  });
  return rows[0];
}
