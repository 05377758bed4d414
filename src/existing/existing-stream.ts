import type { Client } from 'pg';
import { setTimeout as delay } from 'node:timers/promises';
import type { Lsn } from '../postgres/lsn.ts';
import type { Session } from '../postgres/session.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import { WatchError } from '../errors.ts';
import type { OpenStream } from '../stream/beside.ts';
import { type Chunk, type ChunkRequest, lockTable, readChunk, type ReadPlan } from './chunk.ts';
import type { Splices } from './splices.ts';
import type { Origin } from './state.ts';

/** What is needed of a connection that streams. */
export interface StreamFacts extends Omit<OpenStream, 'open'> {
  readonly slot: string;
  readonly origin: Origin;
  /** Opens the session that rows are read with. */
  open(): Promise<Session>;
  /** Changes that waited for a barrier may go on. */
  opened(): void;
}

/** Milliseconds that changes of a table wait for a chunk of its rows at most. */
const patience = 1000;
/** Milliseconds after which the server is asked to flush. */
const flushAfter = 5;

/** Reads chunks of rows beside one connection that streams. Ends with it. */
export class ExistingStream {
  readonly facts: StreamFacts;
  readonly #splices: Splices;
  #opening: Promise<Session> | undefined;
  closed = false;

  constructor(facts: StreamFacts, splices: Splices) {
    this.facts = facts;
    this.#splices = splices;
  }

  /** @throws also when the session is lost */
  async use<T>(task: (client: Client) => Promise<T>): Promise<T> {
    const session = await (this.#opening ??= this.#open());
    if (this.closed) throw ended();
    return session.use(task);
  }

  /**
   * Reads a chunk while changes of the table wait. What the gate let pass before is seen by the snapshot; of what comes after
   * `loaded` must know before it passes. False: given up, because it took too long.
   */
  async chunk(plan: ReadPlan, request: ChunkRequest, loaded: (chunk: Chunk) => void): Promise<boolean> {
    const session = await (this.#opening ??= this.#open());
    return this.use(async (client) => {
      const { oid } = plan.table;
      await lockTable(client, plan).catch(async (error: unknown) => {
        await client.query('rollback').catch(() => {});
        throw error;
      });
      this.#splices.close(oid);
      let late = false;
      let cancelled: Promise<void> | undefined;
      const cancel = () => (cancelled ??= session.cancel());
      const timer = setTimeout(() => {
        late = true;
        this.#unbar(oid);
        void cancel();
      }, patience);
      try {
        const chunk = await readChunk(
          client,
          { slot: this.facts.slot, taken: (lsn, flushed) => this.#taken(flushed), cancel },
          plan,
          request,
        );
        if (late || this.closed) return false;
        this.#check(chunk);
        loaded(chunk);
        return true;
      } catch (error) {
        if (late && (error as { code?: string }).code === sqlState.queryCanceled) return false;
        throw error;
      } finally {
        clearTimeout(timer);
        if (!late) this.#unbar(oid);
        await cancelled; // else it could end a statement that follows
        // Whoever comes next is answered after it. A lost connection has ended the transaction.
        client.query('rollback').catch(() => {});
      }
    });
  }

  /** While the rows come, the walsender tells how far it is: mostly it has passed the chunk's position by the time they are here. */
  #taken(flushed: boolean): void {
    const { facts } = this;
    if (flushed) facts.ask();
    else
      facts.flush().then(
        () => facts.ask(),
        () => {}, // it is tried again
      );
  }

  /** Waits until everything that a snapshot sees has passed, or `enough()`. */
  async passed(position: Lsn, enough: () => boolean): Promise<void> {
    const { facts } = this;
    for (let waited = 0; !this.closed && !enough() && !facts.hasPassed(position); waited++) {
      if (waited % 8 === 3) facts.ask();
      if (waited === flushAfter) await facts.flush().catch(() => {});
      await delay(Math.min(50, 1 + waited / 8));
    }
  }

  close(): void {
    this.closed = true;
    this.#opening?.then((session) => session.close()).catch(() => {});
  }

  #unbar(table: number): void {
    this.#splices.open(table);
    this.facts.opened();
  }

  #check({ activePid }: Chunk): void {
    const pid = this.facts.pid();
    if (pid !== undefined && activePid === pid) return;
    throw new WatchError(
      'CONNECTION',
      `existing rows are read from a server where the process ${activePid ?? 'of nobody'} has the slot; the stream's is ${pid ?? 'not known'}`,
      { solution: 'After a failover this ends by itself. Otherwise the name of the host leads to several servers.' },
    );
  }

  async #open(): Promise<Session> {
    const session = await this.facts.open();
    session.lost.catch(() => (this.#opening = undefined));
    // Row-level security would leave rows out without a word: with this it is an error.
    await session.use((client) =>
      client.query(
        'set row_security = off; set max_parallel_workers_per_gather = 0; set jit = off; set enable_seqscan = off; set enable_sort = off',
      ),
    );
    return session;
  }
}

function ended(): WatchError {
  return new WatchError('CONNECTION', 'the connection that existing rows are read beside has ended');
}
