/** `npm start`, as a separate process: the compiled program (`npm run compile`). */
import { chmod } from 'node:fs/promises';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { startCluster } from '../support/cluster.ts';
import { useDatabase } from '../support/database.ts';
import { makeFolder, removeFolder, startWorker, type Worker } from '../support/example-worker.ts';
import { inSession } from '../support/template.ts';

// Each test starts servers, which takes long while other tests run.
vi.setConfig({ testTimeout: 120_000 });

/** Where a worker without DATABASE_URL keeps its server. */
let temporary: string;

beforeAll(async () => {
  temporary = await makeFolder();
});

afterAll(() => removeFolder(temporary));

const eachWatcher = [
  /users:inserted +id \d+, name "Ada"/,
  /users:updated +id \d+, name "Ada", role_id 1 {2}was role_id 2/,
  /users:updated role 1 +id \d+/,
  /users:deleted +id \d+, name "Ada/,
  /contact_changed +id \d+, email "ada@example.org", phone "[^"]+" {2}was phone null/,
  /packages:inserted +id \d+, name "A book", user_id \d+/,
  /packages:updated +id \d+, user_id \d+ +[0-9A-F]+\/[0-9A-F]+\/0\n/,
  /orders:updated +id 1, item "A lamp no. 1", status "sent"/,
];

const insert = (url: string, name: string) =>
  inSession(url, (client) => client.query('insert into walwatch_example.users (name) values ($1)', [name]));

test('prints a line for each watcher, continues after SIGKILL where it stopped, and ends cleanly at Ctrl-C', async () => {
  const environment = { TMPDIR: temporary, DATABASE_URL: '' };

  const first = startWorker(environment);
  const [, url] = await first.line(/database: (postgres:\S+),/);
  await first.line(/first start at [0-9A-F]+\/[0-9A-F]+\n/);
  for (const pattern of eachWatcher) await first.line(pattern);
  await first.line(/existing rows: \d+ of about 5000 orders/);
  await first.line(/existing rows: all orders are read; changes follow/);
  const copied = await inSession(url!, (client) =>
    client.query<{
      same: boolean;
    }>(`select count(*) = 5000 and bool_and(text = item || ' (' || status || ')' or status = 'sent') as same
      from walwatch_example.orders join walwatch_example.order_search using (id)`),
  );
  expect(copied.rows).toEqual([{ same: true }]);
  expect(await first.end('SIGKILL')).toBe('SIGKILL');

  await insert(url!, 'Written in between');

  const second = startWorker(environment);
  const resumed = await second.line(/resumed at [0-9A-F]+\/[0-9A-F]+/);
  const event = await second.line(/users:inserted +id \d+, name "Written in between"/);
  expect(event.index).toBeGreaterThan(resumed.index);
  expect(second.output).not.toContain('existing rows:'); // they were read
  expect(await second.end('SIGINT')).toBe(0);
  await expect(insert(url!, 'too late')).rejects.toThrow('ECONNREFUSED');
});

test('a second worker, and one whose folder belongs to another user, have separate servers', async () => {
  const environment = { TMPDIR: temporary, DATABASE_URL: '' };
  const folderOf = async (worker: Worker) => (await worker.line(/its data in (\S+)/))[1]!;

  const first = startWorker(environment);
  const kept = await folderOf(first);
  await first.line(/first start|resumed at/);
  const second = startWorker(environment);
  expect(await folderOf(second)).toBe(`${kept}-2`);
  await second.line(/the folder of the last run is in use, or not ours/);
  await second.line(/first start at/);
  expect(await second.end('SIGINT')).toBe(0);
  expect(await first.end('SIGINT')).toBe(0);

  await chmod(kept, 0o777);
  const third = startWorker(environment);
  expect(await folderOf(third)).toBe(`${kept}-2`);
  await third.line(/resumed at/);
  expect(await third.end('SIGINT')).toBe(0);
});

const database = useDatabase();

beforeAll(async () => {
  // A server that others use too may already have it from an example.
  const slots = await database.sql(`select from pg_replication_slots where slot_name = 'walwatch_example'`);
  if (slots.length > 0) throw new Error(`the server already has a slot 'walwatch_example': drop it`);
});

test('on DATABASE_URL it uses only its own schema, and SIGTERM ends it cleanly as well', async () => {
  const worker = startWorker({ DATABASE_URL: database.url });
  await worker.line(/first start at/);
  await insert(database.url, 'Grace');
  await worker.line(/users:inserted +id \d+, name "Grace"/);
  expect(await worker.end('SIGTERM')).toBe(0);
  expect(await database.sql('select from users union all select from packages')).toEqual([]);
  await database.dropSlot('walwatch_example');
});

test('a database that stops is reported in one line, and the page keeps its place among the events', async () => {
  const cluster = await startCluster();
  onTestFinished(() => cluster[Symbol.asyncDispose]());
  const worker = startWorker({ DATABASE_URL: cluster.url });
  const [, url] = await worker.line(/page: (http:\S+)\n/);
  await worker.line(/first start at/);
  await worker.line(/page: http:[^]*page: http:/); // again, after some events
  await worker.line(/existing rows: all orders are read/); // no line of theirs comes in between

  const before = worker.output.length;
  await cluster.stop('immediate');
  await worker.line(/disconnected: .*\n/);
  for (let asked = 0; asked < 5; asked++) expect((await fetch(`${url}/users`)).status).toBe(503);
  await cluster.start();
  await worker.line(/connected again\n/);
  const said = worker.output.slice(before).split('\n');
  const lost = said.findIndex((line) => line.startsWith('disconnected'));
  expect(said.slice(lost + 1, said.indexOf('connected again'))).toEqual([]);
  expect(await worker.end('SIGTERM')).toBe(0);
});
