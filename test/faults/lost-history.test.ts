/** The primary is lost with its last transactions, and a copy of it continues in a different history. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers } from '../../src/index.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { own } from '../support/standby.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';

const watchers = defineWatchers<{ jobs: { id: number } }>()([['jobs', 'inserted']]);
const sql = (cluster: Cluster, text: string) =>
  inSession(cluster.url, async (client) => (await client.query(text)).rows as Record<string, unknown>[]);

test(
  'events of the lost history are dropped and reported, and its positions do not stop new events from being handled',
  { timeout: 90_000 },
  async () => {
    await using primary = await startCluster();
    await sql(primary, 'create table jobs (id int primary key, note text)');
    await sql(primary, 'create table done (id int)');
    let { port } = primary;
    const stream = () => {
      const socket = new Socket();
      const connect = socket.connect.bind(socket) as (port: number, host: string) => Socket;
      return Object.assign(socket, { connect: () => connect(port, '127.0.0.1') });
    };
    const connection = { host: 'db', port: 5432, user: 'postgres', database: 'postgres', stream };
    await using watch = createWatch({ connection, slot: 'lost_history', watchers });
    const told: string[] = [];
    watch.on('warning', ({ message }) => told.push(message));
    watch.on('gap', ({ reason }) => told.push(reason));
    let works = true;
    watch.subscribe('jobs:inserted', async ({ id }, { client }) => {
    if (!works) throw new Error('not now');
    await client.query('insert into done values ($1)', [id]);
  }, { transaction: true, name: 'worker' }); // prettier-ignore
    await watch.start();
    await sql(primary, 'insert into jobs values (1)');
    await watch.caughtUp();
    await sql(primary, 'checkpoint');

    await primary.stop('fast');
    const directory = await mkdtemp(join(tmpdir(), 'walwatch-copy-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    await cp(primary.dataDirectory, join(directory, 'data'), { recursive: true, preserveTimestamps: true });
    await writeFile(join(directory, 'data', 'standby.signal'), '');
    await own(directory);
    await primary.start();
    await until(() => watch.status().state === 'streaming', { describe: 'the stream' });
    works = false;
    await sql(primary, 'select pg_switch_wal()'); // so that positions are far beyond those of the copy
    await sql(primary, 'insert into jobs select generate_series(100, 109)');
    await until(() => watch.status().heldBy?.error && !watch.status().receiving, {
      describe: 'ten events, one failing',
    });
    await primary.stop('immediate');

    await using copy = await startCluster({ directory });
    await sql(copy, 'select pg_promote()');
    works = true;
    ({ port } = copy);
    await until(() => watch.status().state === 'streaming', { describe: 'the stream of the copy' });
    await sql(copy, 'insert into jobs values (2), (3)');
    await watch.caughtUp();
    expect(await sql(copy, 'select id from done order by id')).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }]);
    // The first one is not counted if an attempt runs at that moment.
    expect(told.filter((text) => /\b(9|10) events/.test(text))).toHaveLength(1);
    expect(await sql(copy, `select timeline from walwatch.positions`)).toEqual([{ timeline: '2' }]);
  },
);
