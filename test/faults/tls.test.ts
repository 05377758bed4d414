/** The certificate of a server must match, or the connection fails. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers } from '../../src/index.ts';
import { selfSigned, useCertificate } from '../support/certificate.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { startProxy } from '../support/proxy.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { slotName } from '../support/watching.ts';

/** The sessions of one attempt, which connect side by side. */
const sessions = 3;
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
  await inSession(cluster.url, (client) =>
    client.query('create table entries (id int generated always as identity primary key, note text)'),
  );
  return () => cluster[Symbol.asyncDispose]();
});

/** A watch that checks the certificate, over a proxy that counts its attempts. */
const verifying = async (rootCertificate?: string) => {
  const proxy = await startProxy(cluster.url);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const url = new URL(proxy.url);
  url.searchParams.set('sslmode', 'verify-full');
  if (rootCertificate !== undefined) url.searchParams.set('sslrootcert', rootCertificate);
  const watch = createWatch({ connection: url.href, slot: slotName(), watchers });
  onTestFinished(() => watch.stop());
  return { proxy, watch };
};

test('verify-full with a trusted certificate connects, and all sessions are encrypted', async () => {
  const { watch } = await verifying(await useCertificate(cluster, selfSigned('127.0.0.1')));
  const seen: number[] = [];
  watch.subscribe('entries:inserted', ({ id }) => void seen.push(id));
  await watch.start();
  const rows = await inSession(cluster.url, async (client) => {
    await client.query(`insert into entries (note) select repeat('x', 1000) from generate_series(1, 5000)`);
    const { rows } = await client.query(
      `select ssl, count(*)::int from pg_stat_ssl join pg_stat_activity using (pid) where application_name like 'walwatch/%' group by 1`,
    );
    return rows as unknown[];
  });
  expect(rows).toEqual([{ ssl: true, count: 3 }]);
  await until(() => seen.length === 5000, { describe: () => `all events, so far ${seen.length}` });
});

test.each([
  ['that is not trusted', () => selfSigned('127.0.0.1'), false],
  ['of another host', () => selfSigned('db.example.com'), true],
] as const)('a certificate %s is refused by verify-full, without a fallback', async (_, make, trusted) => {
  const path = await useCertificate(cluster, make());
  const { watch, proxy } = await verifying(trusted ? path : undefined);
  let disconnects = 0;
  watch.on('disconnected', () => disconnects++);
  await expect(watch.start()).rejects.toMatchObject({
    code: 'TLS',
    retry: 'never',
    solution: expect.stringContaining('never falls back'),
  });
  expect(disconnects).toBe(0);
  expect(proxy.accepted).toBeLessThanOrEqual(sessions); // of one attempt
  expect(watch.status()).toMatchObject({ state: 'failed', error: { code: 'TLS' } });
});

test('certificate and CA file that are replaced while the worker runs are read again, and it reconnects', async () => {
  const path = join(await mkdtemp(join(tmpdir(), 'walwatch-')), 'root.crt');
  onTestFinished(() => rm(dirname(path), { recursive: true }));
  await cp(await useCertificate(cluster, selfSigned('127.0.0.1')), path);
  const { watch, proxy } = await verifying(path);
  const errors: unknown[] = [];
  let connects = 0;
  watch.on('disconnected', ({ error }) => errors.push(error));
  watch.on('connected', () => connects++);
  await watch.start();
  const renewed = await useCertificate(cluster, selfSigned('127.0.0.1'));
  proxy.reset();
  await until(() => errors.length >= 2, { describe: 'the new certificate to be refused' });
  expect(errors[1]).toMatchObject({ code: 'TLS', retry: 'slowly' });
  // For example a mounted secret that was rotated.
  await rm(path);
  await until(() => errors.some((error) => (error as Error).message.includes('cannot be read: ENOENT')), {
    describe: 'the missing file to be told',
  });
  await cp(renewed, path);
  await until(() => connects === 2, { describe: 'the reconnect' });
});
