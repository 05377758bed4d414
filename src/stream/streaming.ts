import type { Ledger } from '../changes/ledger.ts';
import type { Lsn } from '../postgres/lsn.ts';
import type { Session } from '../postgres/session.ts';
import { parseComment, unattended } from '../setup/marker.ts';
import type { Prepared } from '../setup/prepare.ts';
import type { Schema } from '../watchers/schema.ts';
import type { Watcher } from '../watchers/validate.ts';
import type { Beside, OpenStream } from './beside.ts';
import type { CaughtUp } from './caught-up.ts';
import type { Connection } from './connection.ts';
import { Ending } from './ending.ts';
import type { VisibilityGate } from './gate.ts';
import { Heartbeat } from './heartbeat.ts';
import type { Inspection } from './inspection.ts';
import type { Intake } from './intake.ts';
import { KeepAlive } from './keep-alive.ts';
import type { LagClock } from './lag.ts';
import type { Positions } from './positions.ts';
import { Receiver } from './receiver.ts';
import { Rewound } from './recent-transactions.ts';
import { Questions } from './questions.ts';
import { snapshotsOf, type TakeSnapshot, untilVisible } from './snapshot.ts';
import { lookInterval, patience, silentAfter, statusInterval } from './timing.ts';
import { readWalEnd } from './wal-end.ts';

/** Objects that outlive a connection. */
export interface StreamParts {
  readonly watchers: readonly Watcher[];
  readonly ledger: Ledger;
  readonly intake: Intake;
  /** Undefined with `visibility: 'immediate'`. */
  readonly gate: VisibilityGate<any> | undefined;
  readonly schema: Schema;
  readonly positions: Positions;
  readonly caughtUp: CaughtUp;
  readonly inspection: Inspection;
  readonly lag: LagClock;
  readonly beside?: Beside;
}

/** The ordinary sessions of a connection. */
export interface StreamSessions {
  /** For catalog queries, which a lock may block. */
  readonly control: Session;
  /** For questions that no lock can block: which transactions are visible, and the end of WAL. */
  readonly questions: Session;
}

export interface StreamingHost {
  /** `waiting`: reading should pause until the catalog has been queried. */
  wait(waiting: boolean): void;
  /** The server sends different transactions where it should repeat those received before. */
  rewound(at: Lsn): void;
  acknowledged(lsn: string): void;
  /** Before each inspection. */
  inspecting(): void;
}

/** Milliseconds for one task of a session beside the stream. */
const besideDeadline = 60_000;
const inspectInterval = 10_000;
/** Milliseconds between two checks of a gate that waits. */
const gateInterval = 1000;

/** Everything that works while one connection streams; created for each connection. */
export class Streaming {
  readonly receiver: Receiver;
  readonly keepAlive: KeepAlive;
  readonly #connection: Connection;
  readonly #sessions: StreamSessions;
  readonly #prepared: Prepared;
  readonly #timeout: number;
  readonly #parts: StreamParts;
  readonly #host: StreamingHost;
  /** Uses `sessions.questions`, or the session that has replaced it. */
  readonly #questions: Questions;
  readonly #heartbeat: Heartbeat | undefined;
  readonly #takeSnapshot: TakeSnapshot;
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(
    connection: Connection,
    sessions: StreamSessions,
    prepared: Prepared,
    timeout: number,
    parts: StreamParts,
    host: StreamingHost,
  ) {
    this.#connection = connection;
    this.#sessions = sessions;
    this.#prepared = prepared;
    this.#timeout = timeout;
    this.#parts = parts;
    this.#host = host;
    const { slot, heartbeat } = connection.options;
    this.#heartbeat =
      heartbeat && !prepared.server.inRecovery ? new Heartbeat(slot.name, heartbeat, timeout) : undefined;
    this.#questions = new Questions(
      sessions.questions,
      {
        open: () => connection.open('gate', sessions.questions.deadline!),
        release: (session) => connection.release(session),
      },
      lookInterval(timeout),
    );
    this.#takeSnapshot = snapshotsOf(this.#questions);
    const { positions } = parts;
    this.keepAlive = new KeepAlive(
      {
        get bytesRead() {
          return connection.bytesRead;
        },
        get paused() {
          return connection.paused;
        },
        // Record every acknowledged position: a slot beyond the recorded one looks as if another program had moved it.
        send: (update) => {
          connection.send(update);
          const confirmed = positions.sent(update);
          if (confirmed !== undefined) host.acknowledged(confirmed);
        },
        fail: (error) => connection.fail(error),
      },
      positions,
      timeout,
    );
    this.receiver = this.#receive();
  }

  /**
   * Informs the stages about the new connection. `continues`: the server still sends the history received before. `end`:
   * its end of WAL, so that WAL written while we were disconnected counts as lag from the start.
   */
  connect(continues: boolean, end: Lsn): void {
    const connection = this.#connection;
    const { gate, caughtUp, positions, lag, intake } = this.#parts;
    positions.serverReached(end);
    lag.note(end, Date.now(), intake.newest);
    const failed = (error: unknown) => connection.fail(error);
    gate?.connect(this.#takeSnapshot, failed);
    const readEnd = () => readWalEnd(this.#questions);
    caughtUp.connect({ readEnd, ask: () => this.keepAlive.ask(), failed }, continues);
  }

  /** For who works beside this connection. */
  open(facts: Pick<OpenStream, 'gap' | 'forgotten'>): OpenStream {
    const connection = this.#connection;
    const { intake, gate } = this.#parts;
    const { markers } = parseComment(this.#prepared.publication.comment);
    const marker = markers.find(({ slot }) => slot === connection.options.slot.name);
    return {
      ...facts,
      slotLsn: marker?.createdLsn ?? '',
      workerBefore: marker && unattended(marker),
      publication: connection.options.publication.name,
      server: this.#prepared.server,
      pid: () => connection.pid,
      open: (job) => connection.openBeside(job, besideDeadline),
      hasPassed: (position) => intake.reached >= position && (gate?.hasPassed(position) ?? true),
      holds: () => gate?.holds ?? false,
      ask: () => this.keepAlive.ask(),
      flush: () => readWalEnd(this.#questions),
    };
  }

  start(): void {
    this.keepAlive.start();
    const { inspection, positions, gate } = this.#parts;
    const { control } = this.#sessions;
    const questions = this.#questions;
    const connection = this.#connection;
    const failed = (error: unknown) => connection.fail(error);
    inspection.connected(this.#prepared);
    const inspect = () => {
      this.#host.inspecting();
      inspection.run(control, this.#prepared).catch(failed);
    };
    inspect();
    this.#every(inspectInterval, inspect);
    // Without traffic a session would not notice that its peer is gone.
    for (const session of [control, questions]) {
      let idle = true;
      this.#every(statusInterval(this.#timeout), () => {
        if (!idle) return;
        idle = false;
        session.use((client) => client.query('')).then(() => (idle = true), failed);
      });
    }
    this.#every(lookInterval(this.#timeout), () => this.#look());
    const heartbeat = this.#heartbeat;
    if (heartbeat)
      this.#every(connection.options.heartbeat!, () => {
        const silence = this.keepAlive.silence.milliseconds;
        heartbeat.beat(questions, { paused: connection.paused, write: positions.write, silence }).catch(failed);
      });
    let looked = 0;
    if (gate)
      this.#every(gateInterval, () => {
        const since = gate.waitingSince;
        if (since === undefined || since === looked || Date.now() - since < gateInterval) return;
        looked = since; // once per wait
        inspection.checkSynchronous(control).catch(failed);
      });
  }

  /** Acknowledges everything that is handled and ends the stream. */
  async end(): Promise<void> {
    this.keepAlive.flush();
    this.receiver.close();
    const { positions, intake } = this.#parts;
    await new Ending(this.#connection, this.#questions, positions.flush).end(intake.inside);
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#parts.lag.silentSince = undefined;
    this.keepAlive.stop();
    this.receiver.close();
  }

  /** Checks whether data and answers arrive. */
  #look(): void {
    const { keepAlive } = this;
    const questions = this.#questions;
    keepAlive.look();
    questions.look();
    this.#parts.lag.silentSince = keepAlive.silence.since(silentAfter(this.#timeout));
    // The stream works but the questions are unanswered: their connection is dead, or TCP has not retransmitted yet.
    if (keepAlive.silence.milliseconds === 0 && questions.silence.milliseconds >= patience) void questions.renew();
  }

  #every(interval: number, task: () => void): void {
    this.#timers.push(setInterval(task, interval));
  }

  #receive(): Receiver {
    const connection = this.#connection;
    const { keepAlive } = this;
    const { intake, positions, schema, ledger, caughtUp } = this.#parts;
    return new Receiver(intake, {
      plan: (relation) => schema.plan(relation),
      type: (message) => schema.types.describe(message),
      described: (relation) => {
        // The catalog shows a schema change only when its transaction is visible.
        const { xid } = intake;
        return schema.described(relation, this.#sessions.control, () => untilVisible(this.#takeSnapshot, xid));
      },
      message: (prefix) => this.#heartbeat?.received(prefix),
      reached: (lsn) => {
        // While the server repeats earlier data, nothing is acknowledged until it has proved to be the same.
        if (intake.repeating) positions.named(lsn);
        else positions.reached(lsn);
        keepAlive.acknowledge(ledger.confirmed);
      },
      keepalive: (walEnd, replyRequested) => {
        positions.named(walEnd);
        if (replyRequested) keepAlive.reply(ledger.settled && !intake.inside);
        caughtUp.answered();
      },
      wait: (waiting) => this.#host.wait(waiting),
      failed: (error) => {
        if (error instanceof Rewound) this.#host.rewound(error.at);
        connection.fail(error);
      },
    });
  }
}
