/** A volume snapshot: a copy of a server's data that takes its place later. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Cluster } from './cluster.ts';
import { own } from './standby.ts';

/** Stops the server for the moment of the copy. Returns a function that puts the copy in place, with the server stopped. */
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
