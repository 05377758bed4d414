import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import pg from 'pg';
import type { Client, ClientConfig, CustomTypesConfig } from 'pg';
import { WatchError } from '../errors.ts';
import { requestCancel } from './cancel-request.ts';
import { withCertificates } from './connection-config.ts';

/**
 * Settings that decide how PostgreSQL writes values as text. They are part of the connection's startup, because
 * `ALTER ROLE … SET` and `ALTER DATABASE … SET` may set others. Those override postgresql.conf, but not the startup.
 * https://www.postgresql.org/docs/current/runtime-config-client.html
 */
const textSettings = {
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  timezone: 'UTC',
  extra_float_digits: '1',
  bytea_output: 'hex',
  client_encoding: 'UTF8',
  quote_all_identifiers: 'off', // decides how regclass and similar types are written
};

/**
 * Where PostgreSQL looks up the names in walwatch's SQL. In a schema where others may create objects, they could define an operator
 * or function that fits the arguments better than PostgreSQL's own, and walwatch would run it. Temporary objects are searched first
 * unless they are listed, but belong to walwatch's own session.
 */
export const searchPath = 'pg_catalog,pg_temp';

/**
 * Turns off timeouts that are meant for an application's queries. For pg, the stream is a query that takes too long; for the server,
 * the ordinary session is idle.
 */
const noTimeouts = { query_timeout: 0, statement_timeout: 0, lock_timeout: 0, idle_in_transaction_session_timeout: 0 };
const noTimeoutSettings = {
  statement_timeout: '0',
  lock_timeout: '0',
  // Only a handler that replays waits in a transaction. If its network is gone, its locks would stay until the kernel gives up the socket.
  idle_in_transaction_session_timeout: '10s',
  idle_session_timeout: '0',
};

const { BOOL, INT2, INT4, OID, FLOAT8, JSON: JSON_OID } = pg.types.builtins;
const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  [BOOL]: (text) => text === 't',
  [INT2]: Number,
  [INT4]: Number,
  [OID]: Number,
  [FLOAT8]: Number,
  [JSON_OID]: JSON.parse,
};

/** How results of walwatch's own queries are parsed. The application's parsers, also global ones, are for the values of its events. */
const ownResults = {
  types: { getTypeParser: (oid: number) => parsers[oid] ?? ((text: string) => text) } as CustomTypesConfig,
  binary: false, // an option of pg that its types lack
};

/** Sends queries immediately: those that do not need each other's results share one round trip. */
const roundTrips = { pipeline: true };

/**
 * The application's configuration with the settings of walwatch's own sessions. The application's `options` override them, except for
 * the search path.
 * @throws WatchError TLS if a certificate cannot be read
 */
export function sessionConfig(
  connection: ClientConfig,
  session: {
    readonly name: string;
    readonly connectTimeout: number;
    readonly settings?: Readonly<Record<string, string>>;
  },
): ClientConfig {
  const settings = Object.entries({ ...textSettings, ...noTimeoutSettings, ...session.settings });
  const own = connection.options ?? process.env['PGOPTIONS'];
  return {
    ...withCertificates(connection),
    ...noTimeouts,
    ...ownResults,
    ...roundTrips,
    application_name: session.name,
    connectionTimeoutMillis: session.connectTimeout,
    keepAlive: true,
    options: `${settings.map(([name, value]) => `-c ${name}=${value}`).join(' ')}${own ? ` ${own}` : ''} -c search_path=${searchPath}`,
  };
}

/** The application's own configuration, for the session that its handlers write through. */
export function handlerConfig(connection: ClientConfig, name: string, connectTimeout: number): ClientConfig {
  const own = connection.options ?? process.env['PGOPTIONS'];
  // The position must be durable before the slot moves past it.
  const options = `${own ? `${own} ` : ''}-c synchronous_commit=on`;
  const config = withCertificates(connection);
  return { ...config, application_name: name, connectionTimeoutMillis: connectTimeout, keepAlive: true, options };
}

/** Members of pg's client that its types lack. */
interface Backend {
  readonly connection: EventEmitter<{
    parameterStatus: [{ readonly parameterName: string; readonly parameterValue: string }];
  }> & { readonly stream: Duplex & { destroySoon?(): void } };
}

/** A query that is prepared under its name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** An ordinary connection for one job, such as inspecting the server, writing dead letters or checking visibility. */
export class Session {
  readonly #config: ClientConfig;
  readonly #client: pg.Client;
  /** Milliseconds for each task. A task that takes longer makes the connection count as lost. Undefined: no limit. */
  deadline: number | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #prepared = new Set<string>();
  #lost = false;
  #lose!: (error: unknown) => void;
  /** Rejects the running task. */
  #abandon: (error: unknown) => void = () => {};
  /** Rejects when the connection is lost. Never resolves. */
  readonly lost: Promise<never>;

  constructor(config: ClientConfig, deadline?: number) {
    this.#config = config;
    const client = (this.#client = new pg.Client(config));
    noteMajor(client);
    this.deadline = deadline;
    this.lost = new Promise<never>((_, reject) => {
      this.#lose = reject;
      client.on('error', reject);
      client.on('end', () => reject(new Error('the connection has ended')));
    });
    this.lost.catch((error: unknown) => {
      this.#lost = true; // no unhandled rejection: awaiting `lost` is optional
      this.#abandon(error);
    });
  }

  get isLost(): boolean {
    return this.#lost;
  }

  async connect(): Promise<void> {
    await this.#client.connect();
  }

  /**
   * Runs a task after those before it. No other task runs at the same time; `ask` does not wait for it.
   * @throws what the task throws, or why the connection was lost
   */
  use<T>(task: (client: pg.Client) => Promise<T>): Promise<T> {
    const run = this.#turn.then(() => this.#orLost(() => this.#within(task(this.#client))));
    this.#turn = run.catch(() => {}); // a failed task does not stop the next one
    return run;
  }

  /**
   * Executes a statement; the first call also prepares it. With `pipeline` it is sent immediately, before earlier queries are
   * answered. Answers arrive in order. @throws also when the connection is lost
   */
  ask<Row extends pg.QueryResultRow>({ name, text }: Statement, ...values: readonly string[]) {
    const client = this.#client;
    if (!this.#prepared.has(name)) {
      this.#prepared.add(name);
      client.query(`prepare ${name} as ${text}`).catch(this.#lose); // EXECUTE would only say that the statement is missing
    }
    // SQL's EXECUTE is one message. pg's own prepared queries take four, which costs more than they save.
    const list = values.length === 0 ? '' : `(${values.map(pg.escapeLiteral).join(', ')})`;
    return this.#within(client.query<Row>(`execute ${name}${list}`));
  }

  /** Closes the connection without waiting for the peer, which may be gone. Also works while it connects. */
  close(): void {
    closeQuietly(this.#client);
  }

  /** Asks the server to cancel the running query. Resolves when the request was sent, or could not be sent. */
  cancel(): Promise<void> {
    return requestCancel(this.#client, this.#config);
  }

  /** Does not use `Promise.race()` with `lost`: that would keep a few hundred bytes per task for as long as the connection lives. */
  #orLost<T>(run: () => Promise<T>): Promise<T> {
    if (this.#lost) return this.lost;
    return new Promise<T>((resolve, reject) => {
      this.#abandon = reject;
      run().then(resolve, reject);
    });
  }

  /** A server that disappeared without closing the connection never answers, so only a timeout detects it. */
  async #within<T>(task: Promise<T>): Promise<T> {
    const { deadline } = this;
    if (deadline === undefined) return task;
    const timer = setTimeout(() => {
      this.#lose(
        new WatchError('CONNECTION', `the server has not answered a query within ${deadline} ms`, {
          solution: 'walwatch connects again. Look for a network or host that is gone, or for a lock that is held.',
        }),
      );
      this.close();
    }, deadline);
    try {
      return await task;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Closes the connection without waiting for the peer. */
export function closeQuietly(client: Client): void {
  client.end().catch(() => {}); // the socket is destroyed anyway
  (client as unknown as Backend).connection.stream.destroySoon?.();
}

const majors = new WeakMap<Client, number>();

/** A server reports its version during the startup of a connection. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC */
function noteMajor(client: Client): void {
  (client as unknown as Backend).connection.on('parameterStatus', ({ parameterName, parameterValue }) => {
    if (parameterName === 'server_version') majors.set(client, Number.parseInt(parameterValue));
  });
}

/** The major version that the server reported to a `Session`, known before the first query. */
export function majorOf(client: Client): number | undefined {
  return majors.get(client);
}

/** Connects a session that has a `sessionConfig`. */
export async function connectOwn(session: Session): Promise<void> {
  await session.connect();
  await session.use(beginOwn);
}

/**
 * The first statement of every session that has a `sessionConfig`. Its names mean the same with any search path. It also turns off
 * `transaction_timeout`, which ends a walsender inside a large transaction. Servers before 17 do not know that setting, and would
 * refuse a connection that names it. What walwatch stores must be durable before the slot moves: `synchronous_commit` is not `off`.
 *
 * @throws WatchError UNSUPPORTED if the settings did not reach the server. It does not set them again: behind a pooler, the session
 * may serve another client next.
 */
export async function beginOwn(client: Client): Promise<void> {
  const { rows } = await client.query<{ path: string }>(
    `select pg_catalog.current_setting('search_path') as path,
            (select pg_catalog.set_config(name, '0', false) from pg_catalog.pg_settings where name operator(pg_catalog.=) 'transaction_timeout'),
            (select pg_catalog.set_config(name, 'local', false) from pg_catalog.pg_settings
             where name operator(pg_catalog.=) 'synchronous_commit' and setting operator(pg_catalog.=) 'off')`,
  );
  const path = rows[0]?.path ?? '';
  if (path.replaceAll(' ', '') === searchPath) return;
  throw new WatchError(
    'UNSUPPORTED',
    `the session has search_path = ${path} instead of ${searchPath}: the server has not received the startup parameter "options"`,
    {
      solution:
        'Something between walwatch and PostgreSQL, such as a pooler, dropped it. Connect to the server directly.',
    },
  );
}
