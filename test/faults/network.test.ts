/** All faults of a network, and servers or poolers that refuse a connection. */
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Source } from '../../src/stream/source.ts';
import { useDatabase } from '../support/database.ts';
import { errorResponse, startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';
import { record, watchers } from '../support/connecting.ts';

/** The sessions of one attempt, which connect side by side. */
const sessions = 3;

describe('faults on the way to the server', () => {
  const db = useDatabase();
  const watchOf = watchOn(db);
  beforeAll(async () => {
    await db.sql('create table entries (id int generated always as identity primary key, note text)');
  });
  const write = async (rows: number, bytes = 1): Promise<number[]> => {
    const written = await db.sql<{ id: number }>(
      `insert into entries (note) select repeat('x', $2) from generate_series(1, $1) returning id`,
      [rows, bytes],
    );
    return written.map(({ id }) => id);
  };
  const proxied = async () => {
    const proxy = await startProxy(db.url);
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    return proxy;
  };

  test('a connection that is reset again and again is replaced, and nothing is lost or repeated', async () => {
    const proxy = await proxied();
    const watch = watchOf(watchers, { connection: proxy.url });
    const { seen, connects, codes } = record(watch);
    await watch.start();
    const written: number[] = [];
    for (let round = 1; round <= 5; round++) {
      written.push(...(await write(20)));
      await until(() => seen.length >= written.length - Math.floor(Math.random() * 20), { describe: 'some events' });
      proxy.reset();
      written.push(...(await write(20)));
      await until(() => connects.length > round, { describe: 'the reconnect' });
    }
    await settled(db, watch);
    expect(seen).toEqual(written);
    expect(new Set(codes())).toEqual(new Set(['CONNECTION']));
  });

  test('a half-open connection is detected, reported, and replaced without loss', async () => {
    const proxy = await proxied();
    const connection = { connectionString: proxy.url, options: '-c wal_sender_timeout=2000' };
    const watch = watchOf(watchers, { connection });
    const { seen, connects, disconnects } = record(watch);
    await watch.start();
    const written = await write(5);
    await until(() => seen.length === 5, { describe: 'the first events' });
    proxy.swallow();
    written.push(...(await write(5)));
    await until(() => disconnects.length > 0, { describe: 'the silence to be noticed' });
    expect(disconnects[0]).toMatchObject({
      error: { code: 'CONNECTION', message: expect.stringContaining('silent') },
      state: 'disconnected',
    });
    expect(disconnects[0]!.shown).toBe(disconnects[0]!.error);
    // The server has to detect it as well, before the slot is free again.
    await until(() => connects.length === 2, { describe: 'the reconnect' });
    written.push(...(await write(5)));
    await settled(db, watch);
    expect(seen).toEqual(written);
    expect(watch.status()).toMatchObject({ state: 'streaming', error: undefined });
  });

  test('a worker that loses its network inside one of its transactions keeps no lock on the publication', async () => {
    const proxy = await proxied();
    const connection = { connectionString: proxy.url, options: '-c wal_sender_timeout=2000' };
    const slot = slotName();
    const first = watchOf(watchers, { connection, slot });
    await first.start();
    await first.stop();
    const blocker = await db.client();
    await blocker.query(`begin; comment on publication "${slot}" is null`);
    const watch = watchOf(watchers, { connection, slot, manage: 'create' });
    await watch.start();
    const noting = `select from pg_stat_activity where wait_event_type = 'Lock' and query ~* 'publication'`;
    await until(async () => (await db.sql(noting)).length > 0, { describe: 'the worker to wait for the lock' });
    proxy.swallow();
    await blocker.query('rollback');
    // The server's session has the lock now, and its client is gone.
    await db.sql(`alter publication "${slot}" set (publish = 'insert')`);
    await watch.stop();
  });

  test('a server that accepts and never answers is given up after connectTimeout, and retried', async () => {
    const proxy = await proxied();
    proxy.behave('silent');
    const watch = watchOf(watchers, { connection: proxy.url, connectTimeout: 100 });
    const { seen, disconnects, codes } = record(watch);
    const started = watch.start();
    await until(() => disconnects.length >= 2, { describe: 'two attempts' });
    expect(new Set(codes())).toEqual(new Set(['CONNECTION']));
    expect(proxy.accepted).toBeGreaterThanOrEqual(2);
    proxy.behave('forward');
    // 100 ms may be too short for a busy machine, then it is tried once more.
    await started;
    const written = await write(3);
    await settled(db, watch);
    expect(seen).toEqual(written);
  });

  test('over a link that is slower than several wal_sender_timeouts the session stays up', async () => {
    const proxy = await proxied();
    proxy.behave('slow');
    const connection = { connectionString: proxy.url, options: '-c wal_sender_timeout=1000' };
    const watch = watchOf(watchers, { connection });
    const { seen, codes } = record(watch);
    await watch.start();
    const written = await write(600, 1500);
    await settled(db, watch);
    expect(seen).toEqual(written);
    expect(codes()).toEqual([]);
  });

  test('a server that is starting up is retried soon: a restart takes seconds', async () => {
    const proxy = await proxied();
    proxy.behave(errorResponse('57P03', 'the database system is starting up'));
    const watch = watchOf(watchers, { connection: proxy.url });
    const { disconnects } = record(watch);
    const started = watch.start();
    await until(() => disconnects.length === 1, { describe: 'the first attempt' });
    expect(disconnects[0]!.error).toMatchObject({ code: 'SERVER_BUSY', retry: 'soon' });
    proxy.behave('forward');
    await started;
  });

  test('a server that is starting up when we reconnect is retried, and nothing is lost', async () => {
    const proxy = await proxied();
    const watch = watchOf(watchers, { connection: proxy.url });
    const { seen, connects, codes } = record(watch);
    await watch.start();
    const written = await write(5);
    await until(() => seen.length === 5, { describe: 'the first events' });
    proxy.behave(errorResponse('57P03', 'the database system is starting up'));
    proxy.reset();
    written.push(...(await write(5)));
    await until(() => codes().length >= 2, { describe: 'an attempt to come back' });
    expect(codes().slice(0, 2)).toEqual(['CONNECTION', 'SERVER_BUSY']);
    expect(watch.status()).toMatchObject({ state: 'disconnected', error: { code: 'SERVER_BUSY', retry: 'soon' } });
    proxy.behave('forward');
    await until(() => connects.length === 2, { describe: 'the reconnect' });
    await settled(db, watch);
    expect(seen).toEqual(written);
  });

  test('a walsender that is terminated just as it is ready is a failed attempt, and not an uncaught exception', async () => {
    const proxy = await proxied();
    const [ok, ready] = [
      Buffer.from('5200000008 00000000'.replace(' ', ''), 'hex'),
      Buffer.from('5a0000000549', 'hex'),
    ];
    // In one packet: a listener that is added once the connection is up misses the error.
    proxy.behave(Buffer.concat([ok, ready, errorResponse('57P01', 'terminating connection')]));
    const source = new Source({ connectionString: proxy.url });
    await expect(source.connect()).rejects.toMatchObject({ code: '57P01' });
  });

  test('a pooler that does not support our settings is UNSUPPORTED, and not retried', async () => {
    const proxy = await proxied();
    proxy.behave(errorResponse('08P01', 'unsupported startup parameter in options: datestyle'));
    const watch = watchOf(watchers, { connection: proxy.url });
    await expect(watch.start()).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('unsupported startup parameter'),
      solution: expect.stringContaining('pooler'),
    });
    expect(proxy.accepted).toBeLessThanOrEqual(sessions); // of one attempt
  });

  test('a request for TLS that is answered with an error, such as out of memory, is retried', async () => {
    const proxy = await proxied();
    proxy.behave(errorResponse('53200', 'out of memory'));
    const watch = watchOf(watchers, { connection: `${proxy.url}?sslmode=verify-full` });
    const { disconnects } = record(watch);
    void watch.start().catch(() => {});
    await until(() => disconnects.length >= 2, { describe: 'two attempts' });
    expect(disconnects[0]!.error).toMatchObject({
      code: 'CONNECTION',
      retry: 'soon',
      message: expect.stringContaining('request for TLS'),
    });
  });

  test('sslmode=verify-full never falls back to a server without TLS', async () => {
    const proxy = await proxied();
    const watch = watchOf(watchers, { connection: `${proxy.url}?sslmode=verify-full` });
    await expect(watch.start()).rejects.toMatchObject({
      code: 'TLS',
      solution: expect.stringContaining('never falls back'),
    });
    expect(proxy.accepted).toBeLessThanOrEqual(sessions); // of one attempt
  });

  test('a database that does not exist is a permanent error', async () => {
    const url = new URL(db.url);
    url.pathname = '/no_such_database';
    const watch = watchOf(watchers, { connection: url.href });
    await expect(watch.start()).rejects.toMatchObject({
      code: 'AUTHENTICATION',
      message: expect.stringContaining('no_such_database'),
    });
  });
});
