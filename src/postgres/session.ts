import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import pg from 'pg';
import type { Client, ClientConfig, CustomTypesConfig } from 'pg';
import { WatchError } from '../errors.ts';
import { requestCancel } from './cancel-request.ts';
import { withCertificates } from './connection-config.ts';

/**
 * Settings that decide how PostgreSQL writes values as text. They are sent with the connection, because
 * `ALTER ROLE … SET` and `ALTER DATABASE … SET` may hold others, and those win over postgresql.conf but not over these.
 * https://www.postgresql.org/docs/current/runtime-config-client.html
 */
const textSettings = {
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  timezone: 'UTC',
  extra_float_digits: '1',
  bytea_output: 'hex',
  client_encoding: 'UTF8',
  quote_all_identifiers: 'off', // how regclass and its like are written
};

/**
 * Where the names in our SQL are looked up. In a schema where others may create, they could define an operator or function
 * that fits our arguments better than PostgreSQL's own, and we would run it. Temporary objects, which come first unless
 * they are named, are our own.
 */
export const searchPath = 'pg_catalog,pg_temp';

/**
 * Timeouts that are meant for queries of an application. pg would end the stream as a query that takes too long, and a
 * server the ordinary session that is idle.
 */
const noTimeouts = { query_timeout: 0, statement_timeout: 0, lock_timeout: 0, idle_in_transaction_session_timeout: 0 };
const noTimeoutSettings = {
  statement_timeout: '0',
  lock_timeout: '0',
  // Ours wait for nobody, but for a handler that replays. One whose network went away would keep its locks for as long as the kernel keeps its socket.
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

/** What our own queries return. The application's parsers, global ones included, are for the values of its events. */
const ownResults = {
  types: { getTypeParser: (oid: number) => parsers[oid] ?? ((text: string) => text) } as CustomTypesConfig,
  binary: false, // pg has it, its types do not
};

/** Queries are sent at once: those that do not need each other's answers take one round trip together. */
const roundTrips = { pipeline: true };

/**
 * The application's configuration with the settings of a session of ours; its own `options` have the last word, but for
 * the search path.
 * @throws WatchError TLS when a certificate cannot be read
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

/** The application's own configuration, for a session that its handlers write through. */
export function handlerConfig(connection: ClientConfig, name: string, connectTimeout: number): ClientConfig {
  const own = connection.options ?? process.env['PGOPTIONS'];
  // The position must not be durable later than the slot.
  const options = `${own ? `${own} ` : ''}-c synchronous_commit=on`;
  const config = withCertificates(connection);
  return { ...config, application_name: name, connectionTimeoutMillis: connectTimeout, keepAlive: true, options };
}

/** What of pg is not in its types. */
interface Backend {
  readonly connection: EventEmitter<{
    parameterStatus: [{ readonly parameterName: string; readonly parameterValue: string }];
  }> & { readonly stream: Duplex & { destroySoon?(): void } };
}

/** A query to be prepared under its name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** An ordinary connection with one job, such as inspecting the server, writing dead letters or asking for visibility. */
export class Session {
  readonly #config: ClientConfig;
  readonly #client: pg.Client;
  /** Milliseconds for each task, after which the connection counts as lost. Undefined: tasks may take any time. */
  deadline: number | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #prepared = new Set<string>();
  #lost = false;
  #lose!: (error: unknown) => void;
  /** Rejects the task that runs. */
  #abandon: (error: unknown) => void = () => {};
  /** Rejects when the connection is lost; never resolves. */
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
      this.#lost = true; // whoever waits for it hears of it; nobody has to
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
   * Runs a task after those before it, with the connection to itself but for what is asked meanwhile. @throws what the task
   * throws, or why the connection was lost
   */
  use<T>(task: (client: pg.Client) => Promise<T>): Promise<T> {
    const run = this.#turn.then(() => this.#orLost(() => this.#within(task(this.#client))));
    this.#turn = run.catch(() => {}); // the next one has its turn in any case
    return run;
  }

  /**
   * Executes a statement, which is prepared by the first who asks. It is sent at once, before what was asked earlier is
   * answered, where the configuration has `pipeline`; answers come in order. @throws also when the connection is lost
   */
  ask<Row extends pg.QueryResultRow>({ name, text }: Statement, ...values: readonly string[]) {
    const client = this.#client;
    if (!this.#prepared.has(name)) {
      this.#prepared.add(name);
      client.query(`prepare ${name} as ${text}`).catch(this.#lose); // who executes it would hear only that there is none
    }
    // SQL's EXECUTE is one message; pg's own prepared queries are four, and cost it more than they save.
    const list = values.length === 0 ? '' : `(${values.map(pg.escapeLiteral).join(', ')})`;
    return this.#within(client.query<Row>(`execute ${name}${list}`));
  }

  /** Ends the connection without waiting for the peer, which may not be there any more. Also while it connects. */
  close(): void {
    closeQuietly(this.#client);
  }

  /** Asks the server to end the query that runs. Resolves once it was asked, or cannot be. */
  cancel(): Promise<void> {
    return requestCancel(this.#client, this.#config);
  }

  /**
   * Not `Promise.race()` with `lost`, which would keep a few hundred bytes of each task for as long as the connection lives.
   */
  #orLost<T>(run: () => Promise<T>): Promise<T> {
    if (this.#lost) return this.lost;
    return new Promise<T>((resolve, reject) => {
      this.#abandon = reject;
      run().then(resolve, reject);
    });
  }

  /** A server that went away without closing the connection never answers: only time tells. */
  async #within<T>(task: Promise<T>): Promise<T> {
    const { deadline } = this;
    if (deadline === undefined) return task;
    const timer = setTimeout(() => {
      this.#lose(
        new WatchError('CONNECTION', `the server has not answered a query within ${deadline} ms`, {
          solution: 'walwatch connects again. Look for a network or host that went away, or for a lock that is held.',
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

/** Says goodbye without waiting for the peer. */
export function closeQuietly(client: Client): void {
  client.end().catch(() => {}); // it is cut in any case
  (client as unknown as Backend).connection.stream.destroySoon?.();
}

const majors = new WeakMap<Client, number>();

/** A server tells its version while it lets a client in. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC */
function noteMajor(client: Client): void {
  (client as unknown as Backend).connection.on('parameterStatus', ({ parameterName, parameterValue }) => {
    if (parameterName === 'server_version') majors.set(client, Number.parseInt(parameterValue));
  });
}

/** The major version by which the server has introduced itself to a `Session`, before anything can be asked. */
export function majorOf(client: Client): number | undefined {
  return majors.get(client);
}

/** Connects a session with `sessionConfig`. */
export async function connectOwn(session: Session): Promise<void> {
  await session.connect();
  await session.use(beginOwn);
}

/**
 * The first statement of every session with `sessionConfig`, whose names must mean the same under any search path. Lifts
 * `transaction_timeout`, which ends a walsender inside a large transaction: servers before 17 do not know it, and would
 * refuse a connection that names it.
 *
 * @throws WatchError UNSUPPORTED when our settings have not reached the server. They are not set again here: behind a pooler
 * the session may be somebody else's next.
 */
export async function beginOwn(client: Client): Promise<void> {
  const { rows } = await client.query<{ path: string }>(
    `select pg_catalog.current_setting('search_path') as path,
            (select pg_catalog.set_config(name, '0', false) from pg_catalog.pg_settings where name operator(pg_catalog.=) 'transaction_timeout')`,
  );
  const path = rows[0]?.path ?? '';
  if (path.replaceAll(' ', '') === searchPath) return;
  throw new WatchError(
    'UNSUPPORTED',
    `the session has search_path = ${path}, not ${searchPath}: the server has not received the startup parameter "options"`,
    {
      solution:
        'Something between walwatch and PostgreSQL, such as a pooler, ignores it. Connect to the server directly.',
    },
  );
}
