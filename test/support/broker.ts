/** NATS servers of a test, from the binary `nats-server`, which it can stop, freeze and kill. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node';
import { until } from './until.ts';

/** A connection as the guide recommends it, but with shorter waits. */
export function connectTo(servers: string | string[], options: NodeConnectionOptions = {}): Promise<NatsConnection> {
  return connect({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 50, ...options });
}

export interface BrokerOptions {
  /** Lines of the server's configuration. */
  readonly config?: string;
  /** Lines within `jetstream { … }`. */
  readonly jetstream?: string;
  readonly port?: number;
}

/** A server that the test can stop and kill. */
export interface Broker extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Waits until it has ended. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Freezes it, or lets it continue. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** On the same port and data. */
  start(): Promise<void>;
}

export async function startBroker({ config = '', jetstream = '', port: given }: BrokerOptions = {}): Promise<Broker> {
  const port = given ?? (await freePort());
  const directory = mkdtempSync(join(tmpdir(), 'walwatch-nats-'));
  const file = join(directory, 'server.conf');
  const log = join(directory, 'log');
  writeFileSync(
    file,
    `listen: "127.0.0.1:${port}"\nlog_file: "${log}"\njetstream { store_dir: "${directory}"\n${jetstream}\n}\n${config}\n`,
  );
  let child: ChildProcess | undefined;
  const abandon = () => {
    child?.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  process.once('exit', abandon);
  const broker: Broker = {
    url: `nats://127.0.0.1:${port}`,
    port,
    async start() {
      const started = (child = spawn(process.env['WALWATCH_NATS_SERVER'] ?? 'nats-server', ['-c', file], {
        stdio: 'ignore',
      }));
      let failure: Error | undefined;
      started.once('error', (error) => (failure = error));
      await until(
        async () => {
          if (failure) throw new Error('nats-server is needed: apt-get install nats-server', { cause: failure });
          if (started.exitCode !== null) throw new Error(`nats-server has ended:\n${readFileSync(log, 'utf8')}`);
          return takesConnections(broker.url);
        },
        { describe: 'nats-server to take connections' },
      );
    },
    async kill(signal) {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
    },
    signal: (signal) => void child?.kill(signal),
    async [Symbol.asyncDispose]() {
      process.off('exit', abandon);
      await broker.kill('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    },
  };
  await broker.start();
  return broker;
}

/** Three servers that form a cluster. */
export async function startBrokerCluster(): Promise<readonly Broker[]> {
  const ports = [await freePort(), await freePort(), await freePort()];
  const routes = ports.map((port) => `nats-route://127.0.0.1:${port}`).join(', ');
  const brokers = await Promise.all(
    ports.map((port, index) =>
      startBroker({
        config: `server_name: n${index}\ncluster { name: test, listen: "127.0.0.1:${port}", routes: [${routes}] }`,
      }),
    ),
  );
  const connection = await connectTo(brokers.map(({ url }) => url));
  await until(() => hasJetStream(connection), { describe: 'the cluster to have a leader', timeout: 30_000 });
  // The leader knows a server some time before it gives it a replica.
  const { streams } = await jetstreamManager(connection);
  const probe = { name: 'probe', subjects: ['probe'], num_replicas: brokers.length };
  const made = () =>
    streams.add(probe).then(
      () => true,
      () => false,
    );
  await until(made, { describe: 'all servers to take replicas', timeout: 30_000 });
  await streams.delete(probe.name);
  await connection.close();
  return brokers;
}

const takesConnections = (servers: string): Promise<boolean> =>
  connect({ servers, reconnect: false, timeout: 1000 }).then(
    async (connection) => {
      const ready = await hasJetStream(connection);
      await connection.close();
      return ready || connection.info?.cluster !== undefined;
    },
    () => false,
  );

const hasJetStream = (connection: NatsConnection): Promise<boolean> =>
  jetstreamManager(connection, { timeout: 1000 }).then(
    () => true,
    () => false,
  );

/** Below the range that the system uses for outgoing connections. */
async function freePort(): Promise<number> {
  const port = 20_000 + Math.floor(Math.random() * 12_000);
  const server = createServer();
  const isFree = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
  return isFree ? port : freePort();
}
