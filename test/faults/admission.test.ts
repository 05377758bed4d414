/** A server that does not let us in: a wrong password, too many connections, recovery. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createWatch, type SlotWatch } from '../../src/index.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { slotName } from '../support/watching.ts';
import { record, watchers } from '../support/connecting.ts';

describe('with a separate server', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({
      hba: ['host all postgres 127.0.0.1/32 trust', 'host all all 127.0.0.1/32 scram-sha-256'],
    });
    await sql(`create role worker login replication password 'right' connection limit 3`);
    await sql('grant create on database postgres to worker');
    await sql('create table entries (id int generated always as identity primary key, note text)');
    await sql('alter table entries owner to worker');
    return () => cluster[Symbol.asyncDispose]();
  });
  const sql = (text: string) => inSession(cluster.url, (client) => client.query(text));
  const urlOfWorker = (password: string): string => {
    const url = new URL(cluster.url);
    Object.assign(url, { username: 'worker', password });
    return url.href;
  };
  const watchAs = (connection: string): SlotWatch<typeof watchers> => {
    const watch = createWatch({ connection, slot: slotName(), watchers });
    onTestFinished(() => watch.stop());
    return watch;
  };

  test('a wrong password is a permanent error', async () => {
    const watch = watchAs(urlOfWorker('wrong'));
    const { disconnects } = record(watch);
    await expect(watch.start()).rejects.toMatchObject({ code: 'AUTHENTICATION', retry: 'never' });
    expect(disconnects).toEqual([]);
    expect(watch.status()).toMatchObject({ state: 'failed', error: { code: 'AUTHENTICATION' } });
  });

  test('too many connections: retried until there is room', async () => {
    const hold = new Set(['1', '2', '3']);
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    const holders = [...hold].map((one) =>
      inSession(urlOfWorker('right'), async (client) => {
        await client.query('select');
        hold.delete(one);
        await released;
      }),
    );
    await until(() => hold.size === 0, { describe: 'all of the connections that the role may have' });
    const watch = watchAs(urlOfWorker('right'));
    const { disconnects } = record(watch);
    const started = watch.start();
    await until(() => disconnects.length > 0, { describe: 'the first attempt' });
    expect(disconnects[0]!.error).toMatchObject({ code: 'SERVER_BUSY', retry: 'slowly' });
    release();
    await Promise.all(holders);
    await started;
    expect(watch.status()).toMatchObject({ state: 'streaming', error: undefined });
  });

  test('a server in recovery that accepts no connections yet is waited for', async () => {
    await sql('select pg_drop_replication_slot(slot_name) from pg_replication_slots');
    // A standby without hot_standby gives the answer of a server in recovery, for as long as the test needs.
    const signal = join(cluster.dataDirectory, 'standby.signal');
    await cluster.reload({ hot_standby: false });
    await writeFile(signal, '', { mode: 0o644 });
    await cluster.restart('fast');
    const watch = watchAs(cluster.url);
    const { disconnects, codes } = record(watch);
    const started = watch.start();
    await until(() => disconnects.length > 0, { describe: 'the first attempt' });
    expect(codes()).toEqual(['SERVER_BUSY']);
    await rm(signal);
    await cluster.restart('fast');
    await started;
    expect(watch.status()).toMatchObject({ state: 'streaming', error: undefined });
  });
});
