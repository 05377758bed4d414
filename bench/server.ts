/** Where the server that is measured comes from, and the programs of PostgreSQL that it is measured against. */
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import pg from 'pg';
import { startCluster } from '../test/support/cluster.ts';

export interface BenchServer extends AsyncDisposable {
  readonly url: string;
  /** An ordinary session. */
  readonly client: pg.Client;
  /** As `17.10`. */
  readonly version: string;
  readonly major: number;
}

/** BENCH_DATABASE_URL (a superuser's), else an embedded PostgreSQL of its own; WALWATCH_TEST_PG names its major version. */
export async function openServer(): Promise<BenchServer> {
  const given = process.env['BENCH_DATABASE_URL'];
  const cluster = given
    ? undefined
    : await startCluster({
        // Commits cost what they cost in production.
        settings: {
          fsync: true,
          shared_buffers: '512MB',
          max_wal_size: '8GB',
          checkpoint_timeout: '1h',
          autovacuum: 'off',
        },
      });
  const url = given ?? cluster!.url;
  const client = new pg.Client({ connectionString: url, application_name: 'walwatch bench' });
  await client.connect();
  const { rows } = await client.query<{ server_version: string }>('show server_version');
  const version = rows[0]!.server_version.split(' ')[0]!;
  return {
    url,
    client,
    version,
    major: Number.parseInt(version, 10),
    async [Symbol.asyncDispose]() {
      await client.end();
      await cluster?.[Symbol.asyncDispose]();
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
