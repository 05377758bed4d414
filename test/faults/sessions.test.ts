/** A session that waits for a lock, or whose peer has gone, delays only its own job. */
import pg from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { createWatch, defineWatchers, type SlotWatch, type WatchErrorCode } from '../../src/index.ts';
import { connectOwn, Session, sessionConfig } from '../../src/postgres/session.ts';
import { startCluster } from '../support/cluster.ts';
import { useDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

interface Tables {
  locked: { id: number };
  free: { id: number };
}
const watchers = defineWatchers<Tables>()([
  ['locked', 'inserted'],
  ['free', 'inserted'],
]);

function listen(watch: SlotWatch<any>) {
  const seen: number[] = [];
  watch.subscribe('free:inserted', ({ id }: any) => void seen.push(id));
  return seen;
}

test('a migration that holds one watched table delays neither events of the others nor a worker that starts', async () => {
  await db.sql('create table locked (id int primary key); create table free (id int primary key)');
  const watch = watchOf(watchers);
  const seen = listen(watch);
  await watch.start();
  // It has run before: creating a publication takes a lock on its tables.
  const slot = slotName();
  const before = watchOf(watchers, { slot });
  await before.start();
  await before.stop();
  const migration = new pg.Client({ connectionString: db.url });
  await migration.connect();
  onTestFinished(() => migration.end());
  await migration.query('begin');
  await migration.query('alter table locked add column note text');
  const next = watchOf(watchers, { slot });
  const nextSeen = listen(next);
  await next.start();
  for (let id = 1; id <= 50; id++) {
    await db.sql('insert into free values ($1)', [id]);
    await until(() => seen.length === id && nextSeen.length === id, {
      describe: `event ${id}`,
    });
  }
  expect([watch.health(), next.health()]).toEqual(Array(2).fill({ live: true, ready: true, reasons: [] }));
});

/** A watch through a proxy, on a server that gives a session up after a second. */
async function throughProxy() {
  const cluster = await startCluster({ settings: { wal_sender_timeout: '1s' } });
  onTestFinished(() => cluster[Symbol.asyncDispose]());
  const sql = (text: string) => inSession(cluster.url, async (client) => (await client.query(text)).rows);
  await sql('create table locked (id int primary key); create table free (id int primary key)');
  const proxy = await startProxy(cluster.url);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const make = (connection: string) => {
    const watch = createWatch({ connection, slot: 'worker', watchers });
    onTestFinished(() => watch.stop());
    return watch;
  };
  return { cluster, sql, proxy, make };
}

test('a silent session for the catalog is detected, and nothing is missed', async () => {
  const { sql, proxy, make } = await throughProxy();
  const watch = make(proxy.url);
  const seen = listen(watch);
  const errors: (WatchErrorCode | undefined)[] = [];
  watch.on('disconnected', ({ error }) => errors.push(error?.code));
  await watch.start();
  await sql('insert into free values (1)');
  await until(() => seen.length === 1, { describe: 'the first event' });
  proxy.swallow(0);
  await sql('insert into free values (2)');
  await until(() => errors.length > 0 && seen.includes(2), {
    describe: () => JSON.stringify([seen, errors, watch.status()]),
    timeout: 30_000,
  });
  expect(errors[0]).toBe('CONNECTION');
});

test('a standby whose session falls silent still takes over', async () => {
  const { cluster, sql, proxy, make } = await throughProxy();
  const active = make(cluster.url);
  await active.start();
  const standby = make(proxy.url);
  const seen = listen(standby);
  const started = standby.start();
  await until(() => standby.status().state === 'standby', { describe: 'the standby' });
  proxy.swallow(0);
  await active.stop();
  await sql('insert into free values (1)');
  await started;
  await until(() => seen.length === 1, { describe: 'the event' });
});

test('a long-lived session keeps nothing of finished tasks', async () => {
  const session = new Session(
    sessionConfig({ connectionString: db.url }, { name: 'walwatch/test', connectTimeout: 5000 }),
  );
  onTestFinished(() => session.close());
  await connectOwn(session);
  const then = vi.spyOn(session.lost, 'then'); // Promise.race() calls it, and keeps the callbacks until it settles
  const question = { name: 'one', text: 'select 1 as one' };
  for (let times = 0; times < 3; times++) {
    expect((await session.use((client) => client.query('select 1 as one'))).rows).toEqual([{ one: 1 }]);
    expect((await session.ask(question)).rows).toEqual([{ one: 1 }]);
  }
  expect(then).not.toHaveBeenCalled();
});

test('running tasks fail when the connection is lost, and so do later ones', async () => {
  const session = new Session(
    sessionConfig({ connectionString: db.url }, { name: 'walwatch/lost', connectTimeout: 5000 }),
  );
  await connectOwn(session);
  const never = session.use(() => new Promise<never>(() => {}));
  const asked = session.ask({ name: 'sleep', text: 'select pg_catalog.pg_sleep(1000)' });
  const next = session.use(() => Promise.resolve('it ran'));
  const failed = Promise.allSettled([never, asked, next]);
  await until(
    () =>
      db
        .sql(
          `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'walwatch/lost' and query like 'execute sleep'`,
        )
        .then(({ length }) => length > 0),
    { describe: 'the session to sleep' },
  );
  expect((await failed).map(({ status }) => status)).toEqual(Array(3).fill('rejected'));
});
