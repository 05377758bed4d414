/** Where the measured server comes from, and PostgreSQL's own programs that are measured for comparison. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, delimiter, join } from 'node:path';
import pg from 'pg';
import { selfSigned, useCertificate } from '../test/support/certificate.ts';
import { type Cluster, startCluster } from '../test/support/cluster.ts';
import { type Link, subnet } from './link/link.ts';
import type { Route } from './route.ts';

export interface BenchServer extends AsyncDisposable {
  /** For writers. Of a superuser. */
  readonly url: string;
  /** For contestants: over TCP, which comes first, over TLS, and over a Unix socket, as far as the server has them. */
  readonly routes: readonly Route[];
  /** An ordinary session. */
  readonly client: pg.Client;
  /** As `17.10`. */
  readonly version: string;
  readonly major: number;
}

/** Commits cost as much as in production. */
const benchSettings = {
  fsync: true,
  shared_buffers: '512MB',
  max_wal_size: '8GB',
  checkpoint_timeout: '1h',
  autovacuum: 'off',
} as const;

/** BENCH_DATABASE_URL (a superuser's), else an embedded PostgreSQL, whose major version WALWATCH_TEST_PG names. Contestants run on `node`. */
export async function openServer(node: string): Promise<BenchServer> {
  const given = process.env['BENCH_DATABASE_URL'];
  if (given) return connected(plain(given), [{ label: '', url: plain(given), node }], async () => {});
  const cluster = await startCluster({ settings: benchSettings });
  const routes = [
    { label: '', url: plain(cluster.url), node },
    { label: 'TLS', url: await encrypted(cluster, '127.0.0.1'), node },
    { label: 'Unix socket', url: bySocket(cluster), node },
  ];
  return connected(routes[0]!.url, routes, async () => cluster[Symbol.asyncDispose]());
}

/** An embedded PostgreSQL in one namespace of the link, for clients in the other. Writers use its socket. */
export async function openServerBehind(link: Link, node: string): Promise<BenchServer> {
  const cluster = await startCluster({
    namespace: link.server,
    settings: { ...benchSettings, listen_addresses: link.address },
    hba: ['all', 'replication'].map((database) => `host ${database} all ${subnet} trust`),
  });
  const url = `postgres://postgres@${link.address}:${cluster.port}/postgres`;
  const routes = [
    { label: '', url: plain(url), node, namespace: link.client },
    { label: 'TLS', url: await encrypted(cluster, link.address), node, namespace: link.client },
  ];
  return connected(bySocket(cluster), routes, async () => cluster[Symbol.asyncDispose]());
}

async function encrypted(cluster: Cluster, host: string): Promise<string> {
  const authority = await useCertificate(cluster, selfSigned(host));
  const parameters = `sslmode=verify-full&sslrootcert=${encodeURIComponent(authority)}`;
  return `postgres://postgres@${host}:${cluster.port}/postgres?${parameters}`;
}

function bySocket({ dataDirectory, port }: Cluster): string {
  return plain(`postgres://postgres@${encodeURIComponent(dirname(dataDirectory))}:${port}/postgres`);
}

/** By default libpq would choose TLS, node-postgres would not. */
function plain(url: string): string {
  return url.includes('sslmode=') ? url : `${url}${url.includes('?') ? '&' : '?'}sslmode=disable`;
}

async function connected(url: string, routes: readonly Route[], close: () => Promise<void>): Promise<BenchServer> {
  const client = new pg.Client({ connectionString: url, application_name: 'walwatch bench' });
  await client.connect();
  const { rows } = await client.query<{ server_version: string }>('show server_version');
  const version = rows[0]!.server_version.split(' ')[0]!;
  return {
    url,
    routes,
    client,
    version,
    major: Number.parseInt(version, 10),
    async [Symbol.asyncDispose]() {
      await client.end();
      await close();
    },
  };
}

/** pg_recvlogical and pgbench: on the PATH, or where Debian's packages install them. The newest wins. */
export function findProgram(name: 'pg_recvlogical' | 'pgbench'): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).toSorted((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...versions.map((version) => join(debian, version, 'bin')),
  ];
  // Debian's pg_wrapper on the PATH requires a Debian cluster: the programs themselves come first.
  return folders
    .toReversed()
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}
