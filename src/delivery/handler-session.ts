import type { Client, CustomTypesConfig } from 'pg';
import { WatchError } from '../errors.ts';
import type { Session } from '../postgres/session.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import { Interrupted } from './interrupted.ts';
import type { History } from './positions.ts';

export interface HandlerSessionHost {
  /** Opens a dedicated session. */
  open(): Promise<Session>;
  /** The server history that the stream comes from. */
  history(): History;
}

/** The steps of one transaction. */
export interface Work<T> {
  /** Aborted when the attempt is over, even if the handler still runs. */
  readonly signal: AbortSignal;
  /** Informs the handler that the session is lost. */
  abort?(reason: unknown): void;
  /** Undefined: there is nothing to do. */
  before(client: Client): Promise<T | undefined>;
  handler(client: Client, given: T): unknown;
  /** Returns whether the session is still in the attempt's transaction. */
  after(client: Client, given: T, attempt: string): Promise<boolean>;
}

/** The handler's transaction exceeded a server limit: idle_in_transaction_session_timeout or transaction_timeout. */
const tooLongInTransaction: readonly string[] = [sqlState.idleInTransactionTimeout, sqlState.transactionTimeout];
/** Milliseconds for the steps before the handler: another worker, thought dead, may hold a lock. */
const patience = 30_000;
const types = { getTypeParser: () => (text: string) => text } as CustomTypesConfig;

/** The database session of one subscription's handler; runs one transaction after the other. */
export class HandlerSession {
  readonly #host: HandlerSessionHost;
  readonly #name: string;
  readonly #prepare: (client: Client) => Promise<void>;
  #opening: Promise<Session> | undefined;
  #session: Session | undefined;
  /** The number of calls that run a transaction or wait for the session. */
  #running = 0;
  #attempts = 0;

  /** `prepare`: runs once each time the session is opened. */
  constructor(host: HandlerSessionHost, name: string, prepare: (client: Client) => Promise<void>) {
    this.#host = host;
    this.#name = name;
    this.#prepare = prepare;
  }

  /** Runs a handler in its own transaction. @throws Interrupted when it failed for a reason that is not the handler's fault */
  async run<T>(work: Work<T>): Promise<void> {
    const session = await this.#open();
    const { signal } = work;
    const cut = () => void this.cut();
    let handling: Promise<unknown> | undefined;
    const handler = async (client: Client, given: T) => {
      signal.throwIfAborted(); // opening the session may have taken too long
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
      // The next attempt must not run at the same time as this one.
      if (session.isLost && !aborted) work.abort?.(failure);
      await handling?.catch(() => {});
      throw failure;
    } finally {
      this.#running--;
      signal.removeEventListener('abort', cut);
    }
  }

  /** Closes the session after the running transaction. */
  close(): void {
    this.#take()
      ?.then((session) => session.use(async () => session.close()))
      .catch(() => {}); // a lost session is already closed
  }

  /** Cuts the session and cancels its running query, so that the handler's transaction ends on the server too. */
  async cut(): Promise<void> {
    const busy = this.#running > 0;
    const session = await this.#take()?.catch(() => undefined);
    const cancelled = busy ? session?.cancel() : undefined;
    session?.close();
    await cancelled;
  }

  /** Returns the present session; the next request opens a new one. */
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
    // Close the session as well, or a query that is never answered would block us without end.
    const timer = setTimeout(() => void session.cancel().then(() => session.close()), patience);
    try {
      // This setting ends with the transaction, so `after` can see whether it is still the same transaction.
      await client.query(`begin; set local walwatch.attempt = '${attempt}'`);
      const given = await work.before(client);
      clearTimeout(timer);
      if (given === undefined) {
        await client.query('rollback');
        return;
      }
      await handler(client, given);
      // If the attempt has failed while the handler kept running, its writes must not be committed.
      work.signal.throwIfAborted();
      if (!(await work.after(client, given, attempt))) throw endedTransaction(this.#name);
      const { command } = await client.query('commit');
      if (command !== 'COMMIT') throw swallowedError(this.#name);
    } catch (error) {
      clearTimeout(timer);
      await client.query('rollback').catch(() => {}); // a lost connection has already rolled back
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

  /** After a failover the session may reach the new primary before the stream does. It must not handle events of the old primary there. */
  async #checkHistory(client: Client): Promise<void> {
    const { systemIdentifier, timeline } = this.#host.history();
    if (timeline === 0) return; // nothing has been streamed yet
    const { rows } = await client.query<{ system: string; timeline: string }>({
      types,
      text: `select (select system_identifier::pg_catalog.text from pg_catalog.pg_control_system()) as system,
                    pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) as timeline`,
    });
    const found = rows[0]!;
    if (found.system === systemIdentifier && Number.parseInt(found.timeline, 16) === timeline) return;
    throw new WatchError(
      'CONNECTION',
      `the handler's session reached system ${found.system}, timeline ${Number.parseInt(found.timeline, 16)}, but the stream comes from system ${systemIdentifier}, timeline ${timeline}`,
      {
        solution:
          'After a failover this resolves without action. Otherwise use a host name that leads to only one server.',
      },
    );
  }
}

function tookTooLong(cause: unknown): boolean {
  return tooLongInTransaction.includes((cause as { code?: unknown } | undefined)?.code as string);
}

function swallowedError(subscription: string, cause?: unknown): WatchError {
  return new WatchError(
    'HANDLER_TRANSACTION',
    `${subscription}: a query of the handler failed in its transaction and the handler ignored the error: its writes cannot be committed`,
    {
      solution:
        'Rethrow the error of the query. If you expect it, avoid it (INSERT … ON CONFLICT DO NOTHING), or run SAVEPOINT before the query and ROLLBACK TO SAVEPOINT after it fails.',
      cause,
    },
  );
}

function endedTransaction(subscription: string): WatchError {
  return new WatchError(
    'HANDLER_TRANSACTION',
    `${subscription}: the handler ended the transaction it was called in, with COMMIT, ROLLBACK or transaction() of an ORM`,
    {
      solution:
        'walwatch runs BEGIN and COMMIT: remove them from the handler, or use SAVEPOINT. Anything the handler committed itself stays, and the event is handled again.',
    },
  );
}
