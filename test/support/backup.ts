/** A volume snapshot: a copy of a server's data that can replace it later. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Cluster } from './cluster.ts';
import { own } from './standby.ts';

/** Stops the server while it copies. Returns a function that restores the copy and leaves the server stopped. */
export async function backUp(cluster: Cluster): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'walwatch-backup-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const copy = join(directory, 'data');
  await cluster.stop('fast');
  await cp(cluster.dataDirectory, copy, { recursive: true, preserveTimestamps: true });
  await cluster.start();
  return async () => {
    await cluster.stop('immediate');
    await rm(cluster.dataDirectory, { recursive: true });
    await cp(copy, cluster.dataDirectory, { recursive: true, preserveTimestamps: true });
    await own(cluster.dataDirectory);
  };
}
