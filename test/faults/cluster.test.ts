import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { startCluster } from '../support/cluster.ts';
import { createDatabase } from '../support/database.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';

// Each test starts servers, which takes long while other tests run.
vi.setConfig({ testTimeout: 120_000 });

test.each(['fast', 'immediate'] as const)(
  'a server stopped with mode %s starts again on the same port and data',
  async (mode) => {
    await using cluster = await startCluster();
    await using database = await createDatabase(cluster.url);
    await database.sql(`insert into users (name) values ('Ada')`);
    await cluster.stop(mode);
    await expect(inSession(database.url, (client) => client.query('select'))).rejects.toThrow('ECONNREFUSED');
    await cluster.start();
    expect(await database.sql('select name from users')).toEqual([{ name: 'Ada' }]);
  },
);

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test('a server killed by the system leaves nothing to stop', async () => {
  const cluster = await startCluster();
  const [pid] = (await readFile(join(cluster.dataDirectory, 'postmaster.pid'), 'utf8')).split('\n');
  process.kill(Number(pid), 'SIGKILL');
  await until(() => !isAlive(Number(pid)), { describe: 'the server to be gone' });
  await cluster[Symbol.asyncDispose]();
  expect(existsSync(cluster.dataDirectory)).toBe(false);
});

test('a server that does not start reports why, and leaves nothing behind', async () => {
  const temporary = await mkdtemp(join(tmpdir(), 'walwatch-failing-'));
  onTestFinished(() => rm(temporary, { recursive: true }));
  await chmod(temporary, 0o755); // the server's user passes through
  vi.stubEnv('TMPDIR', temporary);
  onTestFinished(() => void vi.unstubAllEnvs());
  await expect(startCluster({ settings: { shared_buffers: 'plenty' } })).rejects.toThrow(
    /does not start:[^]*shared_buffers/,
  );
  expect(await readdir(temporary)).toEqual([]);
});

test('a server in a given directory, and its data, are found again', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'walwatch-kept-'));
  const first = await startCluster({ directory });
  await inSession(first.url, (client) => client.query('create table kept ()'));
  {
    await using again = await startCluster({ directory });
    expect(again.url).toBe(first.url);
  }
  await using later = await startCluster({ directory });
  await inSession(later.url, (client) => client.query('select from kept'));
  await later.stop('immediate');
  await rm(directory, { recursive: true });
});

test('the test decides settings and pg_hba.conf', async () => {
  await using cluster = await startCluster({
    settings: { wal_level: 'replica' },
    hba: ['host all nobody 127.0.0.1/32 reject', 'host all all 127.0.0.1/32 trust'],
  });
  const url = new URL(cluster.url);
  url.username = 'nobody';
  await expect(inSession(url.href, (client) => client.query('select'))).rejects.toThrow('pg_hba.conf rejects');

  await cluster.reload({ wal_sender_timeout: '3s' });
  const shown = inSession(cluster.url, (client) =>
    client.query(`select current_setting('wal_level') as level, current_setting('wal_sender_timeout') as timeout`),
  );
  expect((await shown).rows).toEqual([{ level: 'replica', timeout: '3s' }]);
});

test('the leftovers of a killed process, running servers included, are removed when the next one starts a server', async () => {
  const cluster = await startCluster();
  const directory = dirname(cluster.dataDirectory);
  const { pid } = spawnSync('true');
  await rename(join(directory, `used-by-${process.pid}`), join(directory, `used-by-${pid}`));
  await using _next = await startCluster();
  expect(existsSync(directory)).toBe(false);
  await expect(inSession(cluster.url, (client) => client.query('select'))).rejects.toThrow('ECONNREFUSED');
});
