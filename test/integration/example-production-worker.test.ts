/** examples/production-worker, as a separate process: the compiled program (`npm run compile`). */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { runExample } from '../support/example.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication } from '../support/watching.ts';

const db = useDatabase();
beforeAll(async () => {
  await db.sql('create table orders (id int generated always as identity primary key, total numeric not null)');
});

async function start(url: string, under: readonly string[] = []) {
  const environment = { DATABASE_URL: url, PORT: '0' };
  const worker = runExample('.build/examples/production-worker/main.js', [], environment, under);
  const [, port] = await worker.prints(/"port":(\d+)/);
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } });
    return { status: response.status, text: await response.text() };
  };
  const ready = (status: number) =>
    until(async () => (await get('/readyz')).status === status, { describe: () => `/readyz ${status}:\n${worker.output}` }); // prettier-ignore
  return { worker, get, ready };
}

test('its probes and metrics show its state, and SIGTERM ends it cleanly', async () => {
  const proxy = await startProxy(db.url);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  onTestFinished(() => dropSlotAndPublication(db, 'production_worker'));
  const { worker, get, ready } = await start(proxy.url);
  await ready(200);
  expect(await get('/readyz')).toEqual({ status: 200, text: '{"live":true,"ready":true,"reasons":[]}' });
  expect((await get('/livez')).status).toBe(200);
  expect((await get('/elsewhere')).status).toBe(404);

  await db.sql('insert into orders (total) values (12.5)');
  await worker.prints(/"event":\{"id":1,"total":"12.5"\}/);
  const series =
    'walwatch_events_total{slot="production_worker",watcher="orders:inserted",subscription="fulfilment"} 1';
  await until(async () => (await get('/metrics')).text.includes(series), { describe: series });
  expect((await get('/metrics')).text).toContain('walwatch_state{slot="production_worker",state="streaming"} 1');
  expect((await get('/metrics')).text).toContain('process_cpu_seconds_total');

  proxy.behave('silent');
  proxy.reset();
  await ready(503);
  expect((await get('/livez')).status).toBe(200);
  expect(JSON.parse((await get('/readyz')).text)).toMatchObject({
    reasons: [expect.stringMatching(/disconnected since/)],
  });
  proxy.behave('forward');
  proxy.reset();
  await ready(200);

  worker.process.kill('SIGTERM');
  expect(await worker.ended()).toBe(0);
  const [slot] = await db.sql<{ done: boolean }>(
    `select confirmed_flush_lsn is not null and not active as done from pg_replication_slots where slot_name = 'production_worker'`,
  );
  expect(slot).toEqual({ done: true });
});

test('an error that a reconnect cannot repair ends it with 1', async () => {
  const url = new URL(db.url);
  url.pathname = '/no_such_database';
  const worker = runExample('.build/examples/production-worker/main.js', [], { DATABASE_URL: url.href, PORT: '0' });
  expect(await worker.ended()).toBe(1);
  expect(worker.output).toContain('no_such_database');
});

test('as PID 1 of a container it ends with 0 at SIGTERM: with the slot, on standby, or while it waits for the database', async ({
  skip,
}) => {
  const asFirst = ['unshare', '--pid', '--fork', '--kill-child'];
  if (spawnSync(asFirst[0]!, [...asFirst.slice(1), 'true']).status !== 0) skip('needs unshare --pid: Linux, and root');
  onTestFinished(() => dropSlotAndPublication(db, 'production_worker'));

  /** To the only child of `unshare`, which is PID 1 of its namespace. */
  const terminate = ({ worker }: Awaited<ReturnType<typeof start>>) => {
    const pid = worker.process.pid!;
    process.kill(Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')), 'SIGTERM');
    return worker.ended();
  };
  const reason = (told: RegExp, one: Awaited<ReturnType<typeof start>>) =>
    until(async () => told.test((await one.get('/readyz')).text), { describe: String(told) });

  const first = await start(db.url, asFirst);
  await first.ready(200);
  const second = await start(db.url, asFirst);
  await reason(/standing by/, second);
  const nowhere = new URL(db.url);
  nowhere.port = '1';
  const third = await start(nowhere.href, asFirst);
  await reason(/ECONNREFUSED/, third);
  for (const one of [second, first, third]) expect(await terminate(one)).toBe(0);
});
