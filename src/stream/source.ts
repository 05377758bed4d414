import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import pg from 'pg';
import type { Client, ClientConfig } from 'pg';
import { LogicalReplicationService } from 'pg-logical-replication';
import { WatchError } from '../errors.ts';
import { type Lsn, parseLsn } from '../postgres/lsn.ts';
import { quoteIdentifier, quoteVerbatim, type Server, serverStart, since } from '../postgres/server.ts';
import { inOrder } from '../postgres/round-trip.ts';
import { beginOwn, closeQuietly } from '../postgres/session.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import { type CopySink, CopyStream } from './copy-stream.ts';
import { encodeStatusUpdate, type StatusUpdate } from './status-update.ts';

/** Internals of pg's client that its types do not declare. */
interface WalsenderConnection {
  readonly stream: Duplex & { readonly bytesRead: number };
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  once(event: 'replicationStart', listener: () => void): void;
}

interface WalsenderClient {
  readonly connection: WalsenderConnection;
  readonly processID: number;
}

/** Private members of pg-logical-replication. */
interface ServiceInside {
  client(): Promise<[Client, unknown]>;
}

/** What a walsender reports about its server. */
interface Introduction {
  readonly startedAt: string;
  readonly standby: boolean;
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** The end of the server's WAL. */
  readonly end: Lsn;
}

/** Facts about the walsender's server when streaming begins. */
export interface WalsenderFacts {
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** The end of the server's WAL. */
  readonly end: Lsn;
  /** Where the previous connection's timeline ended. Undefined: the timeline is the same, or its end is unknown. */
  readonly switchedAt: Lsn | undefined;
  /** The start position of a temporary slot, which is created with the connection. */
  readonly createdLsn: string | undefined;
  /** The walsender's process id. */
  readonly pid: number;
}

/** Receives what a source reads. */
export interface SourceSink extends CopySink {
  started(facts: WalsenderFacts): void;
}

export interface SourceOptions {
  readonly slot: { readonly name: string; readonly temporary: boolean };
  readonly publication: string;
  readonly origin: 'any' | 'none';
  readonly server: Pick<Server, 'major' | 'startedAt'>;
  /** The timeline of the previous connection. */
  readonly timeline: number | undefined;
  /** Milliseconds: the session's wal_sender_timeout. */
  readonly timeout: number;
}

/**
 * One streaming connection, used once. pg-logical-replication starts it, but we handle messages and positions ourselves:
 * for speed, and because its acknowledge() sends LSN + 1, which loses transactions.
 */
export class Source {
  readonly #client: Client;
  readonly #service: LogicalReplicationService;
  /** We create the socket, so that we can destroy it while it is still connecting. */
  #socket: Duplex | undefined;
  #introduction: Introduction | undefined;
  #connection: WalsenderConnection | undefined;
  #copy: CopyStream | undefined;
  #failure: unknown;
  #destroyed = false;
  /** The walsender's process id, known as soon as it may hold the slot. */
  pid: number | undefined;

  /** `config`: the configuration of the walsender's session. */
  constructor(config: ClientConfig) {
    const makeSocket = config.stream ?? (() => new Socket({ readableHighWaterMark: 16_384 } as object));
    const stream = () => (this.#socket = makeSocket());
    this.#client = new pg.Client({ ...config, stream, replication: 'database' } as ClientConfig);
    this.#client.on('error', (error) => (this.#failure ??= error));
    this.#service = new LogicalReplicationService({}, { acknowledge: { auto: false, timeoutSeconds: 0 } });
  }

  /** Connects, without using a slot yet. */
  async connect(): Promise<void> {
    try {
      await this.#client.connect();
      [, this.#introduction] = await inOrder([beginOwn(this.#client), introduce(this.#client)]);
    } catch (error) {
      throw this.#failure ?? error;
    }
  }

  /** Streams until the connection ends. Rejects with an error of PostgreSQL or the socket; resolves if the server ended the stream. */
  async run(options: SourceOptions, sink: SourceSink): Promise<void> {
    const client = this.#client as Client & WalsenderClient;
    this.pid = client.processID;
    this.#service.on('error', (error) => (this.#failure ??= error));
    const service = this.#service as unknown as ServiceInside;
    service.client = async () => {
      const { connection } = client;
      Object.assign(service, { _client: client, _connection: connection });
      return [client, connection];
    };
    const plugin = {
      name: 'walwatch',
      options: {},
      start: () => this.#start(options, sink),
      parse: () => {}, // never called: CopyStream takes the messages before it
    };
    try {
      // Start at 0/0: the server then starts at the slot's own position.
      await this.#service.subscribe(plugin, options.slot.name, '0/0');
    } catch (error) {
      this.#failure ??= error;
    } finally {
      this.destroy();
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Bytes received so far; a growing number shows that the server is alive. */
  get bytesRead(): number {
    return this.#connection?.stream.bytesRead ?? 0;
  }

  sendStatus(update: StatusUpdate): void {
    this.#connection?.sendCopyFromChunk(encodeStatusUpdate(update, Date.now()));
  }

  pause(): void {
    this.#copy?.pause();
  }

  resume(): void {
    this.#copy?.resume();
  }

  /** Ends the stream according to the protocol. run() then settles, unless the server is busy with a long task. */
  end(): void {
    this.#connection?.endCopyFrom();
    this.resume();
  }

  /** Closes a connection that has not started streaming. */
  close(): void {
    this.#destroyed = true;
    closeQuietly(this.#client);
  }

  /** Closes the socket at once. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#copy?.close();
    this.#socket?.destroy();
    this.#service.destroy().catch(() => {}); // the client's socket is already closed
  }

  async #start(options: SourceOptions, sink: SourceSink): Promise<void> {
    const { slot, publication, origin, server, timeout } = options;
    const client = this.#client as Client & WalsenderClient;
    const { connection, processID: pid } = client;
    checkServer(this.#introduction!, server);
    // Ask a standby again: it may have been promoted since the connection was opened, perhaps long ago.
    const { systemIdentifier, timeline, end } = this.#introduction!.standby
      ? await introduce(client)
      : this.#introduction!;
    const switchedAt = await switchPoint(client, options.timeline, timeline);
    let createdLsn: string | undefined;
    if (slot.temporary) {
      const created = await client
        .query(`CREATE_REPLICATION_SLOT ${quoteIdentifier(slot.name)} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT`)
        .catch((error: unknown) => {
          throw nameIsTaken(error, slot.name);
        });
      createdLsn = created.rows[0].consistent_point;
    }
    connection.once('replicationStart', () => {
      this.#connection = connection;
      sink.started({ systemIdentifier, timeline, end, switchedAt, createdLsn, pid });
    });
    const pgoutput = [
      `proto_version '1'`,
      `publication_names ${quoteOption(quoteVerbatim(publication))}`,
      `messages 'true'`,
    ];
    if (origin === 'none' && server.major >= since.origin) pgoutput.push(`origin 'none'`);
    this.#copy = new CopyStream(connection.stream, sink);
    await Promise.all([
      client.query(`set wal_sender_timeout = ${timeout}`),
      client.query(`START_REPLICATION SLOT ${quoteIdentifier(slot.name)} LOGICAL 0/0 (${pgoutput.join(', ')})`),
    ]);
  }
}

/** Asks a walsender about its server. */
async function introduce(client: Client): Promise<Introduction> {
  const [{ rows }, identity] = await inOrder([
    client.query(`select ${serverStart} as started, pg_catalog.pg_is_in_recovery() as standby`),
    identify(client),
  ]);
  const { systemid, timeline, xlogpos } = identity.rows[0];
  const { started, standby } = rows[0];
  return {
    startedAt: started, standby, systemIdentifier: systemid, timeline: Number(timeline), end: parseLsn(xlogpos),
  }; // prettier-ignore
}

/** One address may lead to several servers, and facts about one are not valid for another. */
function checkServer({ startedAt }: Introduction, server: Pick<Server, 'startedAt'>): void {
  if (startedAt === server.startedAt) return;
  throw new WatchError('CONNECTION', 'the ordinary session and the replication stream reached different servers', {
    solution: 'walwatch tries again. Use an address that always leads to the same server, not to its standbys.',
  });
}

/** Where the previous connection's timeline ended, if the server is now on another one. */
async function switchPoint(client: Client, before: number | undefined, timeline: number): Promise<Lsn | undefined> {
  if (before === undefined || before === timeline) return undefined;
  // One line per timeline: number, end, reason. The server may have removed the file.
  const { rows } = await client.query(`TIMELINE_HISTORY ${timeline}`).catch(() => ({ rows: [] }));
  const line = new RegExp(`^${before}\\s+([0-9A-F]+/[0-9A-F]+)`, 'im').exec(String(rows[0]?.content ?? ''));
  return line ? parseLsn(line[1]!) : undefined;
}

/** Every walsender knows this command; an ordinary session would parse it as SQL. */
function identify(client: Client) {
  return client.query('IDENTIFY_SYSTEM').catch((cause: unknown) => {
    if (sqlStateOf(cause) !== sqlState.syntaxError) throw cause;
    throw new WatchError('UNSUPPORTED', 'the replication connection was opened as an ordinary connection', {
      solution:
        'A program between walwatch and PostgreSQL, such as a connection pooler, ignores the startup parameter "replication". Connect to the server directly.',
      cause,
    });
  });
}

/** Another session created a temporary slot of the same name first. */
function nameIsTaken(error: unknown, name: string): unknown {
  if (sqlStateOf(error) !== sqlState.duplicateObject) return error;
  return new WatchError('SLOT_ACTIVE', `another session has the temporary slot '${name}'`, {
    solution: 'walwatch tries again. Give each process its own slot name, or omit the name.',
    cause: error,
  });
}

/** A string in the replication grammar, where only quotes need escaping. */
function quoteOption(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
