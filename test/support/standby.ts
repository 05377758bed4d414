/** A physical standby: a copy of a server's data that follows it. The embedded packages have no pg_basebackup. */
import { chown, cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serverUser } from './binaries.ts';
import { type Cluster, type Settings, startCluster } from './cluster.ts';
import { inSession } from './template.ts';
import { until } from './until.ts';

const slot = 'physical_standby';

/** Stops the primary while it copies. Disposing of the standby deletes its data. */
export async function startStandby(primary: Cluster, settings: Settings = {}): Promise<Cluster> {
  await inSession(primary.url, (client) =>
    client.query('select pg_create_physical_replication_slot($1, true)', [slot]),
  );
  const directory = await mkdtemp(join(tmpdir(), 'walwatch-standby-'));
  await primary.stop('fast');
  await cp(primary.dataDirectory, join(directory, 'data'), { recursive: true, preserveTimestamps: true });
  await rm(join(directory, 'data', 'pg_replslot', slot), { recursive: true });
  await writeFile(join(directory, 'data', 'standby.signal'), '');
  await own(directory);
  await primary.start();
  const standby = await startCluster({
    directory,
    settings: {
      hot_standby_feedback: true,
      primary_slot_name: slot,
      primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres`,
      ...settings,
    },
  });
  return {
    ...standby,
    [Symbol.asyncDispose]: async () => {
      await standby[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Waits until the standby has replayed everything that the primary has written so far. */
export async function replayed(primary: Cluster, standby: Cluster): Promise<void> {
  const [end] = await inSession(
    primary.url,
    async (client) => (await client.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn')).rows,
  );
  await inSession(standby.url, (client) =>
    until(
      async () =>
        (await client.query<{ there: boolean }>('select pg_last_wal_replay_lsn() >= $1::pg_lsn as there', [end!.lsn]))
          .rows[0]!.there,
      {
        describe: `the standby to have replayed ${end!.lsn}`,
      },
    ),
  );
}

/** PostgreSQL refuses data that its user does not own. */
export async function own(path: string): Promise<void> {
  const user = await serverUser();
  if (!user) return;
  await chown(path, user.uid, user.gid);
  for (const name of await readdir(path, { recursive: true })) await chown(join(path, name), user.uid, user.gid);
}
