import type { ResolvedOptions } from '../options.ts';
import { WatchError } from '../errors.ts';
import { connectOwn, Session, sessionConfig } from '../postgres/session.ts';
import { applicationName } from '../setup/judge.ts';
import type { KeepAliveHost } from './keep-alive.ts';
import { Source, type SourceOptions, type SourceSink } from './source.ts';
import type { StatusUpdate } from './status-update.ts';

/** Lock timeout of our own queries in milliseconds, so that a migration of one table does not block all the others. */
const lockTimeout = 2000;

/** Sessions that streaming needs after set-up. Each takes several round trips to connect, so they connect while set-up runs. */
interface Early {
  readonly questions: Session;
  readonly source: Source;
  readonly asking: Promise<void>;
  readonly connecting: Promise<void>;
}

/** The open sessions of one attempt: an ordinary session per job, and the walsender. The attempt ends when the first is lost. */
export class Connection implements KeepAliveHost {
  readonly options: ResolvedOptions;
  readonly #sessions = new Set<Session>();
  readonly #failed: Promise<never>;
  #fail!: (error: unknown) => void;
  #early: Early | undefined;
  #source: Source | undefined;
  #ended: Promise<void> | undefined;
  paused = false;
  /** Closed by us: a session lost from now on is not an error. */
  closed = false;

  constructor(options: ResolvedOptions) {
    this.options = options;
    this.#failed = new Promise<never>((_, reject) => (this.#fail = reject));
    this.#failed.catch(() => {}); // `stream()` awaits it
  }

  /** Opens the ordinary session that set-up uses first. Set-up also initializes it (`readTogether`). `deadline`: milliseconds per task. */
  async openControl(deadline: number): Promise<Session> {
    const session = this.#session('control', deadline);
    await session.connect();
    return this.#rely(session);
  }

  /** Opens another ordinary session for one job. */
  async open(job: string, deadline: number): Promise<Session> {
    const session = this.#session(job, deadline);
    await connectOwn(session);
    return this.#rely(session);
  }

  /** Opens an ordinary session whose loss does not end the attempt. */
  async openBeside(job: string, deadline: number): Promise<Session> {
    const session = this.#session(job, deadline);
    session.lost.catch(() => this.#sessions.delete(session));
    await connectOwn(session);
    return session;
  }

  /**
   * Starts to connect the session for questions and the walsender. Their errors are reported when they are first used, so
   * that an error of set-up is reported first.
   */
  connectEarly(deadline: number): void {
    const { connection, connectTimeout, slot } = this.options;
    const questions = this.#session('gate', deadline);
    const source = new Source(sessionConfig(connection, { name: applicationName(slot.name), connectTimeout }));
    const [asking, connecting] = [connectOwn(questions), source.connect()];
    for (const one of [asking, connecting]) one.catch(() => {});
    this.#early = { questions, source, asking, connecting };
  }

  /** Closes both while another worker has the slot, because a server has few walsenders. */
  closeEarly(): void {
    if (!this.#early) return;
    const { questions, source } = this.#early;
    this.release(questions);
    source.close();
    this.#early = undefined;
  }

  /** Closes a session before the connection ends. */
  release(session: Session): void {
    this.#sessions.delete(session);
    session.close();
  }

  /** The session for queries that no lock can block. `deadline`: milliseconds per query. */
  async openQuestions(deadline: number): Promise<Session> {
    const { questions, asking } = this.#early!;
    await Promise.race([asking, this.#failed]);
    questions.deadline = deadline;
    return this.#rely(questions);
  }

  /** Streams until the first session is lost, then rejects with the cause. */
  async stream(options: SourceOptions, sink: SourceSink): Promise<void> {
    const { source, connecting } = this.#early!;
    await Promise.race([connecting, this.#failed]);
    this.#source = source;
    const ended = source.run(options, sink);
    this.#ended = ended.catch(() => {});
    if (this.closed) this.destroy();
    const over = ended.then(() => {
      throw new WatchError('CONNECTION', 'the server ended the stream', { solution: 'walwatch tries again.' });
    });
    await Promise.race([over, this.#failed]);
  }

  /** Ends the attempt with an error. */
  fail(error: unknown): void {
    this.#fail(error);
  }

  /** The walsender's process id, known as soon as it may hold the slot. */
  get pid(): number | undefined {
    return this.#source?.pid;
  }

  get bytesRead(): number {
    return this.#source?.bytesRead ?? 0;
  }

  pause(): void {
    this.paused = true;
    this.#source?.pause();
  }

  resume(): void {
    this.paused = false;
    this.#source?.resume();
  }

  send(update: StatusUpdate): void {
    this.#source?.sendStatus(update);
  }

  /**
   * Ends the stream according to the protocol. Closes the socket if `enough` resolves before the server confirms the end.
   * Returns whether the server confirmed it.
   */
  async end(enough: Promise<unknown>): Promise<boolean> {
    this.closed = true;
    this.#source?.end();
    const inOrder = await Promise.race([this.#ended?.then(() => true), enough.then(() => false)]);
    this.#source?.destroy();
    return inOrder ?? true;
  }

  /** Closes all sockets at once. */
  destroy(): void {
    this.closed = true;
    this.#early?.source.destroy();
    for (const session of this.#sessions) session.close();
    this.#fail(new Error('the connection was closed'));
  }

  #session(job: string, deadline: number): Session {
    if (this.closed) throw new Error('the connection was closed');
    const { connection, connectTimeout, slot } = this.options;
    const session = new Session(
      sessionConfig(connection, {
        name: `${applicationName(slot.name)}:${job}`,
        connectTimeout,
        settings: { lock_timeout: `${lockTimeout}ms` },
      }),
      deadline,
    );
    this.#sessions.add(session);
    return session;
  }

  /** From now on, losing this session ends the attempt. */
  #rely(session: Session): Session {
    session.lost.catch((error: unknown) => {
      if (this.#sessions.has(session)) this.fail(error);
    });
    return session;
  }
}
