import type { ChangeSource } from '../changes/stage.ts';
import { WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import type { Session } from '../postgres/session.ts';
import type { Client } from 'pg';
import { removedWal } from '../setup/classify.ts';
import { History } from '../setup/history.ts';
import { leaveNothing } from '../setup/live-publication.ts';
import type { Memory } from '../setup/memory.ts';
import type { Prepared } from '../setup/prepare.ts';
import { Claim } from './claim.ts';
import { Connection } from './connection.ts';
import type { WalsenderFacts } from './source.ts';
import { reportBlocked, waitForSlot } from './standby.ts';
import type { StreamHost } from './stream-host.ts';
import { Streaming, type StreamParts, type StreamSessions } from './streaming.ts';
import { answerTimeout, sessionTimeout } from './timing.ts';

/** Milliseconds for one query during set-up: creating a slot waits for transactions. */
const setupDeadline = 60_000;

/** The changes of a replication slot. It uses one connection at a time, with new objects for each. */
export class PostgresSource implements ChangeSource {
  readonly #options: ResolvedOptions;
  readonly #parts: StreamParts;
  readonly #host: StreamHost;
  readonly #history = new History();
  readonly #claim: Claim;
  #connection: Connection | undefined;
  #control: Session | undefined;
  #working: Streaming | undefined;
  #prepared: Prepared | undefined;
  #timeline: number | undefined;
  /** The process id of the last walsender. */
  #pid: number | undefined;
  #streamed = false;
  #blockedTimer: NodeJS.Timeout | undefined;
  #full = false;
  #waitingForCatalog = false;

  constructor(options: ResolvedOptions, parts: StreamParts, host: StreamHost) {
    this.#options = options;
    this.#parts = parts;
    this.#host = host;
    const watchers = parts.watchers.map(({ name }) => name);
    this.#claim = new Claim(options, { worker: this.#history.worker, watchers });
  }

  /** The result of the last set-up. */
  get prepared(): Prepared | undefined {
    return this.#prepared;
  }

  /** What tells this worker from others. */
  get worker(): string {
    return this.#history.worker;
  }

  get timeline(): number | undefined {
    return this.#timeline;
  }

  async run(): Promise<void> {
    const connection = (this.#connection = new Connection(this.#options));
    this.#control = undefined;
    try {
      const { slot, publication, origin } = this.#options;
      const prepared = await this.#setUp(connection);
      const control = this.#control!;
      const { server } = prepared;
      const timeout = sessionTimeout(server.walSenderTimeout);
      const questions = await connection.openQuestions(answerTimeout(server.walSenderTimeout));
      const blocked = (warning: WatchError) => void (this.#working ?? this.#host.blocked(warning));
      if (slot.temporary)
        this.#blockedTimer = reportBlocked(control, slot.name, blocked, (error) => connection.fail(error));
      const options = { slot, publication: publication.name, origin, server, timeline: this.#timeline };
      await connection.stream(
        { ...options, timeout },
        {
          started: (facts) => this.#started(connection, { control, questions }, prepared, timeout, facts),
          message: (bytes, start, end) => this.#working?.receiver.message(bytes, start, end),
          large: (type, length) => this.#working?.receiver.large(type, length),
          keepalive: (walEnd, replyRequested) => this.#working?.receiver.keepalive(walEnd, replyRequested),
        },
      );
    } catch (error) {
      if (connection.closed) return;
      const removed = removedWal(error);
      if (removed !== undefined) this.#history.lost(removed);
      throw error;
    } finally {
      // The walsender may hold the slot for a moment longer, even if streaming never began.
      this.#pid = connection.pid ?? this.#pid;
      this.#disconnected();
      if (!connection.closed) connection.destroy();
    }
  }

  pause(): void {
    this.#full = true;
    this.#pace();
  }

  resume(): void {
    this.#full = false;
    this.#pace();
  }

  end(): void {
    this.#parts.beside?.ending();
    this.#connection?.pause();
    this.#parts.gate?.connect(undefined);
    this.#parts.caughtUp.disconnect();
  }

  /** The ledger has handled more than before. */
  acknowledge(): void {
    this.#working?.keepAlive.acknowledge(this.#parts.ledger.confirmed);
  }

  async close(timeout: number): Promise<void> {
    const connection = this.#connection;
    if (!connection || connection.closed) return; // between two attempts
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeout)));
    try {
      await Promise.race([this.#closeInOrder(connection), patience]);
    } finally {
      clearTimeout(timer);
      this.#disconnected();
      connection.destroy();
    }
  }

  async #closeInOrder(connection: Connection): Promise<void> {
    const control = this.#control;
    connection.closed = true;
    if (this.#working) {
      await this.#working.end();
      await control?.use((client) => this.#cleanUp(client));
      return;
    }
    if (this.#options.slot.temporary) await control?.use((client) => this.#cleanUp(client));
  }

  async #cleanUp(client: Client): Promise<void> {
    if (this.#options.slot.temporary) {
      // The walsender may still be waiting for a transaction before it can create its slot.
      await leaveNothing(client, this.#options, this.#connection?.pid);
      await this.#host.cleanUp(client);
      return;
    }
    await this.#claim.release(client);
  }

  async #prepare(control: Session): Promise<Prepared> {
    const { positions, schema } = this.#parts;
    const memory: Memory = {
      worker: this.#history.worker,
      lost: this.#history.lostBecause,
      acknowledged: positions.acknowledged,
      publicationOid: this.#prepared?.publicationOid,
      pid: this.#pid,
      onPrimary: this.#prepared?.server.inRecovery === false,
      tableOids: schema.tableOids,
    };
    const prepared = (this.#prepared = await control.use((client) => this.#host.prepare(client, memory)));
    if (prepared.colleague) this.#forget();
    if (prepared.gap) this.#history.begin(prepared.gap);
    return prepared;
  }

  /** Another worker has used the slot, so the positions received here have become invalid. */
  #forget(): void {
    this.#history.forget();
    this.#parts.positions.forget();
  }

  /** Sets up everything for streaming. Waits while another worker has the slot. */
  async #setUp(connection: Connection): Promise<Prepared> {
    const opening = connection.openControl(setupDeadline);
    opening.catch(() => {}); // it is awaited below, unless that fails earlier
    for (;;) {
      connection.connectEarly(setupDeadline);
      const control = (this.#control = await opening);
      control.deadline = setupDeadline;
      // After a wait, perhaps of hours, the database may have changed: set up again.
      const prepared = await this.#prepare(control);
      control.deadline = answerTimeout(prepared.server.walSenderTimeout);
      if (prepared.activePid === undefined) return prepared;
      connection.closeEarly();
      await this.#waitForSlot(control, connection);
    }
  }

  #waitForSlot(control: Session, connection: Connection): Promise<void> {
    const { name, takeover } = this.#options.slot;
    return waitForSlot(control, name, {
      get closed() {
        return connection.closed;
      },
      standby: (activePid) => {
        if (activePid !== this.#pid) this.#forget();
        this.#host.standby(activePid);
        // A new worker takes the slot over. A worker that lost it does not take it back, or two workers would fight for it
        // endlessly. But it may terminate its own old walsender, which no worker uses any more.
        return takeover === 'terminate' && (!this.#streamed || activePid === this.#pid);
      },
    });
  }

  #started(
    connection: Connection,
    sessions: StreamSessions,
    prepared: Prepared,
    timeout: number,
    facts: WalsenderFacts,
  ): void {
    const { intake, positions, ledger, lag } = this.#parts;
    const verdict = this.#history.stream({ ...facts, received: positions.received });
    let dropped = 0;
    if (verdict !== 'continue') {
      this.#host.broken();
      if (verdict === 'lost') dropped = this.#host.forget();
      positions.forget();
      ledger.forget();
      lag.clear();
    }
    intake.connect(verdict === 'continue');
    positions.connect(facts.createdLsn ?? prepared.confirmedLsn);
    this.#pid = facts.pid;
    this.#timeline = facts.timeline;
    this.#streamed = true;
    clearInterval(this.#blockedTimer);
    this.#claim.connected();
    this.#waitingForCatalog = false;

    this.#working = new Streaming(connection, sessions, prepared, timeout, this.#parts, {
      wait: (waiting) => {
        this.#waitingForCatalog = waiting;
        this.#pace();
      },
      rewound: (at) => this.#history.rewound(positions.received, at),
      acknowledged: (lsn) => this.#host.acknowledged(lsn),
      inspecting: () => {
        this.#claim.make(sessions.control, prepared).catch((error: unknown) => {
          this.#host.failed(error, 'recording in the publication which worker has the slot');
        });
      },
    });
    this.#working.connect(verdict === 'continue', facts.end);
    const gap = this.#history.gapWith(dropped);
    this.#host.streaming({ confirmedLsn: positions.confirmed, gap });
    this.#history.told();
    this.#working.start();
    this.#parts.beside?.connected(this.#working.open({ gap: gap !== undefined, forgotten: verdict === 'lost' }));
    this.#pace();
  }

  /** Pauses reading while memory is full or the catalog is queried. Status updates continue. */
  #pace(): void {
    if (!this.#working) return;
    if (this.#full || this.#waitingForCatalog) this.#connection?.pause();
    else this.#connection?.resume();
  }

  #disconnected(): void {
    this.#parts.beside?.disconnected();
    clearInterval(this.#blockedTimer);
    this.#working?.close();
    this.#working = undefined;
    this.#parts.gate?.connect(undefined);
    this.#parts.caughtUp.disconnect();
  }
}
