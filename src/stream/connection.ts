import type { ResolvedOptions } from '../options.ts';
import { WatchError } from '../errors.ts';
import { connectOwn, Session, sessionConfig } from '../postgres/session.ts';
import { applicationName } from '../setup/judge.ts';
import type { KeepAliveHost } from './keep-alive.ts';
import { Source, type SourceOptions, type SourceSink } from './source.ts';
import type { StatusUpdate } from './status-update.ts';

/** Milliseconds that our own queries wait for a lock, so that a migration of one table does not stop all others. */
const lockTimeout = 2000;

/** What one attempt has open: an ordinary session for each job, and the walsender. It ends with the first that is lost. */
export class Connection implements KeepAliveHost {
  readonly options: ResolvedOptions;
  readonly #sessions = new Set<Session>();
  readonly #failed: Promise<never>;
  #fail!: (error: unknown) => void;
  #source: Source | undefined;
  #ended: Promise<void> | undefined;
  paused = false;
  /** It was closed by us: what is lost from now on is no failure. */
  closed = false;

  constructor(options: ResolvedOptions) {
    this.options = options;
    this.#failed = new Promise<never>((_, reject) => (this.#fail = reject));
    this.#failed.catch(() => {}); // whoever streams waits for it
  }

  /** Opens an ordinary session for one job. `deadline`: milliseconds for each of its tasks. */
  async open(job: string, deadline: number): Promise<Session> {
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
    if (this.closed) session.close();
    await connectOwn(session);
    session.lost.catch((error: unknown) => {
      if (this.#sessions.has(session)) this.fail(error);
    });
    return session;
  }

  /** Closes one that is not needed any more. */
  release(session: Session): void {
    this.#sessions.delete(session);
    session.close();
  }

  /** Streams until the first session is lost. Rejects with the cause. */
  async stream(options: Omit<SourceOptions, 'config'>, timeout: number, sink: SourceSink): Promise<void> {
    const { connection, connectTimeout, slot } = this.options;
    const config = sessionConfig(connection, {
      name: applicationName(slot.name),
      connectTimeout,
      settings: { wal_sender_timeout: `${timeout}ms` },
    });
    this.#source = new Source({ ...options, config });
    const ended = this.#source.run(sink);
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

  /** The process of the walsender, as soon as it is known. */
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
   * Ends the stream as the protocol wants it, and cuts it when `enough` resolves before the server has confirmed that.
   * Returns whether the server has.
   */
  async end(enough: Promise<unknown>): Promise<boolean> {
    this.closed = true;
    this.#source?.end();
    const inOrder = await Promise.race([this.#ended?.then(() => true), enough.then(() => false)]);
    this.#source?.destroy();
    return inOrder ?? true;
  }

  /** Cuts everything. */
  destroy(): void {
    this.closed = true;
    this.#source?.destroy();
    for (const session of this.#sessions) session.close();
    this.#fail(new Error('the connection was closed'));
  }
}
