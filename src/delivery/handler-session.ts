import type { Client, CustomTypesConfig } from 'pg';
import { WatchError } from '../errors.ts';
import type { Session } from '../postgres/session.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import { Interrupted } from './interrupted.ts';
import type { History } from './positions.ts';

export interface HandlerSessionHost {
  /** A session of one's own. */
  open(): Promise<Session>;
  /** Of the stream. */
  history(): History;
}

/** What is done in one transaction. */
export interface Work<T> {
  /** Aborted when the attempt is over, though the handler goes on. */
  readonly signal: AbortSignal;
  /** Tells the handler that the session is lost. */
  abort?(reason: unknown): void;
  /** Undefined: there is nothing to do. */
  before(client: Client): Promise<T | undefined>;
  handler(client: Client, given: T): unknown;
  /** Returns whether the session is still in the attempt's transaction. */
  after(client: Client, given: T, attempt: string): Promise<boolean>;
}

/** The handler took longer in its transaction than the server allows: idle_in_transaction_session_timeout, transaction_timeout. */
const tooLongInTransaction: readonly string[] = [sqlState.idleInTransactionTimeout, sqlState.transactionTimeout];
/** Milliseconds for what comes before the handler: a lock of a worker that was thought dead may be in the way. */
const patience = 30_000;
const types = { getTypeParser: () => (text: string) => text } as CustomTypesConfig;

/** The session that the handler of one subscription writes through, one transaction after the other. */
export class HandlerSession {
  readonly #host: HandlerSessionHost;
  readonly #name: string;
  readonly #prepare: (client: Client) => Promise<void>;
  #opening: Promise<Session> | undefined;
  #session: Session | undefined;
  /** What is in the middle of a transaction, or waits for the session. */
  #running = 0;
  #attempts = 0;

  /** `prepare`: what is done once, when it is opened. */
  constructor(host: HandlerSessionHost, name: string, prepare: (client: Client) => Promise<void>) {
    this.#host = host;
    this.#name = name;
    this.#prepare = prepare;
  }

  /** Runs a handler in a transaction of its own. @throws Interrupted when it was not the handler's fault that it came to nothing */
  async run<T>(work: Work<T>): Promise<void> {
    const session = await this.#open();
    const { signal } = work;
    const cut = () => void this.cut();
    let handling: Promise<unknown> | undefined;
    const handler = async (client: Client, given: T) => {
      signal.throwIfAborted(); // opening the session may have taken the time
      signal.addEventListener('abort', cut, { once: true });
      await (handling = (async () => work.handler(client, given))());
    };
    this.#running++;
    try {
      await session.use((client) => this.#transaction(client, work, handler, session));
    } catch (error) {
      signal.removeEventListener('abort', cut);
      const aborted = signal.aborted;
      const cause = session.isLost ? await session.lost.catch((lost: unknown) => lost) : error;
      const ours = handling === undefined || (session.isLost && !tookTooLong(cause));
      const failure = aborted ? signal.reason : ours ? new Interrupted(this.#name, cause) : cause;
      // The next attempt must not run beside this one.
      if (session.isLost && !aborted) work.abort?.(failure);
      await handling?.catch(() => {});
      throw failure;
    } finally {
      this.#running--;
      signal.removeEventListener('abort', cut);
    }
  }

  /** Closes it once what runs has finished. */
  close(): void {
    this.#take()
      ?.then((session) => session.use(async () => session.close()))
      .catch(() => {}); // one that is lost needs no closing
  }

  /** Cuts it, and with it the transaction of a handler that still runs: also on the server. */
  async cut(): Promise<void> {
    const busy = this.#running > 0;
    const session = await this.#take()?.catch(() => undefined);
    const cancelled = busy ? session?.cancel() : undefined;
    session?.close();
    await cancelled;
  }

  /** The next one to be asked for is another. */
  #take(): Promise<Session> | undefined {
    const opening = this.#opening;
    this.#opening = this.#session = undefined;
    return opening;
  }

  async #transaction<T>(
    client: Client,
    work: Work<T>,
    handler: (client: Client, given: T) => Promise<void>,
    session: Session,
  ): Promise<void> {
    const attempt = String(++this.#attempts);
    // Without closing the session a query that is never answered would be waited for without an end.
    const timer = setTimeout(() => void session.cancel().then(() => session.close()), patience);
    try {
      // What is set here ends with the transaction: so it shows whether that is still the same.
      await client.query(`begin; set local walwatch.attempt = '${attempt}'`);
      const given = await work.before(client);
      clearTimeout(timer);
      if (given === undefined) {
        await client.query('rollback');
        return;
      }
      await handler(client, given);
      // The attempt has failed although the handler went on: what it wrote must not stay.
      work.signal.throwIfAborted();
      if (!(await work.after(client, given, attempt))) throw endedTransaction(this.#name);
      const { command } = await client.query('commit');
      if (command !== 'COMMIT') throw swallowedError(this.#name);
    } catch (error) {
      clearTimeout(timer);
      await client.query('rollback').catch(() => {}); // a lost connection has rolled back by itself
      throw (error as { code?: string } | undefined)?.code === sqlState.inFailedTransaction
        ? swallowedError(this.#name, error)
        : error;
    }
  }

  async #open(): Promise<Session> {
    if (this.#opening === undefined || this.#session?.isLost) {
      const opening = (this.#opening = this.#connect());
      this.#session = undefined;
      opening.then(
        (session) => {
          if (this.#opening === opening) this.#session = session;
        },
        () => {
          if (this.#opening === opening) this.#opening = undefined;
        },
      );
    }
    try {
      return await this.#opening;
    } catch (error) {
      throw new Interrupted(this.#name, error);
    }
  }

  async #connect(): Promise<Session> {
    const session = await this.#host.open();
    try {
      await session.use(async (client) => {
        await this.#checkHistory(client);
        await this.#prepare(client);
      });
      return session;
    } catch (error) {
      session.close();
      throw error;
    }
  }

  /** After a failover it may reach the new primary before the stream does: events of the old one are not for it. */
  async #checkHistory(client: Client): Promise<void> {
    const { systemIdentifier, timeline } = this.#host.history();
    if (timeline === 0) return; // nothing has been streamed
    const { rows } = await client.query<{ system: string; timeline: string }>({
      types,
      text: `select (select system_identifier::pg_catalog.text from pg_catalog.pg_control_system()) as system,
                    pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) as timeline`,
    });
    const found = rows[0]!;
    if (found.system === systemIdentifier && Number.parseInt(found.timeline, 16) === timeline) return;
    throw new WatchError(
      'CONNECTION',
      `it reaches another server than the stream: system ${found.system}, timeline ${Number.parseInt(found.timeline, 16)}; the stream comes from ${systemIdentifier}, ${timeline}`,
      { solution: 'After a failover this ends by itself. Otherwise the name of the host leads to several servers.' },
    );
  }
}

function tookTooLong(cause: unknown): boolean {
  return tooLongInTransaction.includes((cause as { code?: unknown } | undefined)?.code as string);
}

function swallowedError(subscription: string, cause?: unknown): WatchError {
  return new WatchError(
    'HANDLER_TRANSACTION',
    `${subscription}: a query of the handler failed in its transaction, and the handler went on: nothing it has written can be committed`,
    {
      solution:
        'Throw what the query threw. If the error is expected, avoid it (INSERT … ON CONFLICT DO NOTHING), or put SAVEPOINT before the query and ROLLBACK TO SAVEPOINT behind its failure.',
      cause,
    },
  );
}

function endedTransaction(subscription: string): WatchError {
  return new WatchError(
    'HANDLER_TRANSACTION',
    `${subscription}: the handler has ended the transaction that it was called in: COMMIT, ROLLBACK, or a transaction() of an ORM`,
    {
      solution:
        'BEGIN and COMMIT are walwatch’s: leave them out, or use SAVEPOINT. What the handler committed by itself stays, and the event is handled again.',
    },
  );
}
