/** Where the server that is measured comes from, and the programs of PostgreSQL that it is measured against. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, delimiter, join } from 'node:path';
import pg from 'pg';
import { selfSigned, useCertificate } from '../test/support/certificate.ts';
import { startCluster } from '../test/support/cluster.ts';
import type { Route } from './route.ts';

export interface BenchServer extends AsyncDisposable {
  /** Over TCP, without TLS. Of a superuser. */
  readonly url: string;
  /** Over TCP, which comes first, over TLS, and over a Unix socket: those that there are. */
  readonly routes: readonly Route[];
  /** An ordinary session. */
  readonly client: pg.Client;
  /** As `17.10`. */
  readonly version: string;
  readonly major: number;
}

/** Commits cost what they cost in production. */
export const benchSettings = {
  fsync: true,
  shared_buffers: '512MB',
  max_wal_size: '8GB',
  checkpoint_timeout: '1h',
  autovacuum: 'off',
} as const;

/** BENCH_DATABASE_URL (a superuser's), else an embedded PostgreSQL of its own; WALWATCH_TEST_PG names its major version. */
export async function openServer(): Promise<BenchServer> {
  const given = process.env['BENCH_DATABASE_URL'];
  if (given) return connected([{ label: '', url: plain(given) }], async () => {});
  const cluster = await startCluster({ settings: benchSettings });
  const authority = await useCertificate(cluster, selfSigned('127.0.0.1'));
  const socket = encodeURIComponent(dirname(cluster.dataDirectory));
  const routes = [
    { label: '', url: plain(cluster.url) },
    { label: 'TLS', url: `${cluster.url}?sslmode=verify-full&sslrootcert=${encodeURIComponent(authority)}` },
    { label: 'Unix socket', url: plain(`postgres://postgres@${socket}:${cluster.port}/postgres`) },
  ];
  return connected(routes, async () => cluster[Symbol.asyncDispose]());
}

/** libpq would choose TLS when it is not told, node-postgres would not. */
function plain(url: string): string {
  return url.includes('sslmode=') ? url : `${url}${url.includes('?') ? '&' : '?'}sslmode=disable`;
}

async function connected(routes: readonly Route[], close: () => Promise<void>): Promise<BenchServer> {
  const { url } = routes[0]!;
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

/** pg_recvlogical and pgbench: on the PATH, or where Debian's packages put them. The newest wins. */
export function findProgram(name: 'pg_recvlogical' | 'pgbench'): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).toSorted((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...versions.map((version) => join(debian, version, 'bin')),
  ];
  // Debian's pg_wrapper on the PATH asks for a cluster of Debian's own: the programs themselves come first.
  return folders
    .toReversed()
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}
