import type { Client } from 'pg';
import type { Lsn } from '../postgres/lsn.ts';
import type { Session } from '../postgres/session.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import { WatchError } from '../errors.ts';
import type { OpenStream } from '../stream/beside.ts';
import {
  type ChunkEnd,
  type ChunkFacts,
  type ChunkRequest,
  lockTable,
  readChunk,
  type ReadPlan,
  type ReadRow,
} from './chunk.ts';
import { Pause } from './pause.ts';
import type { Barrier, Splices } from './splices.ts';
import type { Origin } from './state.ts';

/** The streaming connection, as the reader of existing rows needs it. */
export interface StreamFacts extends Omit<OpenStream, 'open'> {
  readonly slot: string;
  readonly origin: Origin;
  /** Opens the session that rows are read with. */
  open(): Promise<Session>;
  /** Lets changes pass that waited for a barrier. */
  opened(): void;
}

/** Gets a chunk. */
export interface ChunkTarget {
  begin(facts: ChunkFacts): void;
  add(row: ReadRow): void;
  /** All rows are here. */
  complete(end: ChunkEnd): void;
}

/** Milliseconds that changes of a table wait for a chunk of its rows at most. */
const patience = 1000;
/**
 * Row-level security would leave rows out silently: with this it is an error. With any other isolation, a statement that waits for
 * a rewrite of the table has its snapshot from before, and so finds the table empty. A chunk is always read by the index of the key,
 * also if the planner estimates that sorting the table costs less.
 */
const settings = `set row_security = off; set default_transaction_isolation = 'read committed'; set max_parallel_workers_per_gather = 0; set jit = off;
  set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off`;
/** The server is asked to flush after this number of checks. */
const flushAfter = 5;

/** Reads chunks of rows beside one connection that streams. Ends with it. */
export class ExistingStream {
  readonly facts: StreamFacts;
  readonly #splices: Splices;
  readonly #pause = new Pause();
  #opening: Promise<Session> | undefined;
  /** Nothing more is read. */
  #ending = false;
  #closed = false;

  constructor(facts: StreamFacts, splices: Splices) {
    this.facts = facts;
    this.#splices = splices;
  }

  /** The connection has ended, or will: nothing more is read. */
  get closed(): boolean {
    return this.#ending;
  }

  /** @throws also when the session is lost */
  async use<T>(task: (client: Client) => Promise<T>): Promise<T> {
    const session = await this.#session();
    return session.use(task);
  }

  /** Waits, but not beyond the end of the connection. */
  wait(milliseconds: number): Promise<void> {
    return this.#pause.wait(milliseconds);
  }

  /** From now on changes of a table wait. */
  bar(table: number): Barrier {
    const barrier = this.#splices.close(table);
    const open = () => {
      const closed = barrier.open();
      if (closed) this.facts.opened();
      return closed;
    };
    return { open };
  }

  /**
   * Reads a chunk while changes of the table wait. The snapshot sees every change that the gate let pass before. Later changes pass
   * after `complete`. False: given up, because it took too long.
   */
  async chunk(plan: ReadPlan, request: ChunkRequest, target: ChunkTarget): Promise<boolean> {
    const session = await this.#session();
    return session.use(async (client) => {
      if (request.locks) await lockTable(client, plan);
      const barrier = this.bar(plan.table.oid);
      let late = false;
      let cancelled: Promise<void> | undefined;
      const cancel = () => void (cancelled ??= session.cancel());
      const isOver = () => late || this.closed || session.isLost;
      const timer = setTimeout(() => {
        late = true;
        barrier.open();
        cancel();
      }, patience);
      const host = {
        slot: this.facts.slot,
        begin: (facts: ChunkFacts) => {
          if (isOver()) return;
          this.#check(facts.activePid);
          this.#taken(facts.flushed);
          target.begin(facts);
        },
        add: (row: ReadRow) => void (isOver() || target.add(row)),
        cancel,
      };
      try {
        const end = await readChunk(client, host, plan, request);
        if (isOver()) return false;
        target.complete(end);
        return true;
      } catch (error) {
        if (late && (error as { code?: string }).code === sqlState.queryCanceled) return false;
        throw error;
      } finally {
        clearTimeout(timer);
        barrier.open();
        await cancelled; // else it could end a statement that follows
        // The session runs the next statement after it. A lost connection has ended the transaction.
        if (request.locks) client.query('rollback').catch(() => {});
      }
    });
  }

  /**
   * While the rows come, the walsender is asked for its position: usually the stream has passed the chunk's position by the time
   * they are here.
   */
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
    for (let looks = 0; !this.closed && !enough() && !facts.hasPassed(position); looks++) {
      if (looks % 8 === 2) facts.ask();
      if (looks === flushAfter) await facts.flush().catch(() => {}); // its session reports the error
      await this.wait(Math.min(50, 1 + looks / 8));
    }
  }

  /** Stops reading. The progress can still be stored. */
  end(): void {
    this.#ending = true;
    this.#pause.end();
  }

  /** The connection has ended. */
  close(): void {
    this.end();
    this.#closed = true;
    this.#opening?.then((session) => session.close()).catch(() => {}); // one that did not open needs no closing
  }

  async #session(): Promise<Session> {
    if (this.#closed) throw ended();
    return (this.#opening ??= this.#open());
  }

  /** Checks that this is the stream's server and that our walsender has the slot, so that the rows belong to the stream. */
  #check(activePid: number | undefined): void {
    const pid = this.facts.pid();
    if (pid !== undefined && activePid === pid) return;
    throw new WatchError(
      'CONNECTION',
      `the session for existing rows reaches a server where ${activePid === undefined ? 'no process' : `the process ${activePid}`} uses the slot; the stream comes from the process ${pid ?? '(unknown)'}`,
      {
        solution:
          'After a failover, no action is needed. Otherwise the name of the host leads to several servers: connect to one of them.',
      },
    );
  }

  async #open(): Promise<Session> {
    let session: Session | undefined;
    try {
      session = await this.facts.open();
      session.lost.catch(() => (this.#opening = undefined));
      await session.use((client) => client.query(settings));
      const { rows } = await session.use((client) =>
        client.query<{ pid: number | null }>(
          'select s.active_pid as pid from pg_catalog.pg_replication_slots s where s.slot_name = $1',
          [this.facts.slot],
        ),
      );
      this.#check(rows[0]?.pid ?? undefined);
      if (this.#closed) session.close();
      return session;
    } catch (error) {
      this.#opening = undefined;
      session?.close();
      throw error;
    }
  }
}

function ended(): WatchError {
  return new WatchError('CONNECTION', 'the connection that existing rows are read beside has ended');
}
