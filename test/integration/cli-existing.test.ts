/** existing rows on the command line: status and `existing list` show their progress, `existing restart` reads them again. */
import { expect, onTestFinished, test } from 'vitest';
import { defineWatchers, type EventContext } from '../../src/index.ts';
import { cli, folder } from '../support/cli.ts';
import { useDatabase } from '../support/database.ts';
import { inSession } from '../support/template.ts';
import { deferred, until } from '../support/until.ts';
import { nameOn, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

interface DB {
  orders: { id: number; total: number };
  lines: { id: number };
}
const watchers = defineWatchers<DB>()([
  ['orders', 'inserted', { extraColumns: ['total'] }],
  ['lines', 'inserted'],
]);

const json = async (args: readonly string[]) => {
  const { code, stdout, stderr } = await cli([...args, '--json'], { url: db.url });
  expect(stderr).toBe('');
  return { code, found: JSON.parse(stdout) };
};

/** Two tables: orders and one line. */
async function tables(orders = 300) {
  await db.sql(`drop table if exists orders, lines; create table orders (id int primary key, total int); create table lines (id int primary key);
                insert into orders select n, n from generate_series(1, ${orders}) n; insert into lines values (1); analyze orders, lines`);
}

test('status and list show nothing before a subscription reads existing rows', async () => {
  await tables();
  const slot = slotName();
  const watch = watchOf(watchers, { slot });
  watch.subscribe('orders:inserted', () => {});
  await watch.start();
  const { stdout } = await cli(['status', '--slot', slot], { url: db.url });
  expect(stdout).not.toContain('existing');
  expect((await json(['status', '--slot', slot])).found.existing).toEqual([]);
  expect(await cli(['existing', 'list', '--slot', slot], { url: db.url })).toMatchObject({
    code: 0,
    stdout: 'No subscription has read existing rows.\n',
  });
});

test('status and list show rows, estimate, rate and time left while a slow handler gets them', async () => {
  await tables(3000);
  const slot = slotName();
  const watch = watchOf(watchers, { slot });
  let handled = 0;
  // About a hundred rows a second, so that reading lasts longer than two looks.
  let isSlow = true;
  const subscription = watch.subscribe(
    ['lines:inserted', 'orders:inserted'],
    async () => {
      handled++;
      if (isSlow) await new Promise((resolve) => setTimeout(resolve, 10));
    },
    { name: 'search', existing: { version: 'v1', chunk: 50 } },
  );
  await watch.start();
  await until(() => handled > 60, { describe: () => `61 rows; so far ${handled}` });
  const { found } = await json(['status', '--slot', slot]);
  expect(found.existing).toMatchObject([
    { subscription: 'search', table: 'public.lines', version: 'v1', run: 1, state: 'done', rows: 1, rowsPerSecond: null },
    {
      subscription: 'search', table: 'public.orders', version: 'v1', run: 1, state: 'reading', estimatedRows: 3000,
      rows: expect.any(Number), rowsPerSecond: expect.any(Number), secondsLeft: expect.any(Number),
    },
  ]); // prettier-ignore
  expect(found.existing[1].rows).toBeGreaterThan(0);
  const { stdout } = await cli(['existing', 'list', '--slot', slot], { url: db.url });
  expect(stdout).toMatch(
    /^✓ search: public\.lines, version v1: done, 1 row\n! search: public\.orders, version v1: [\d,]+ of about 3,000 rows \(\d+ %\)$/m,
  );
  isSlow = false;
  await subscription.existing.done;
  const status = await cli(['status', '--slot', slot], { url: db.url });
  expect(status.stdout).toMatch(/^ {2}existing rows +all handled: search \(v1\)$/m);
}); // prettier-ignore

test('restart has the rows of one table read again by the running worker, with new event ids', async () => {
  await tables();
  const slot = slotName();
  const watch = watchOf(watchers, { slot });
  const ids: string[] = [];
  const subscription = watch.subscribe(
    ['orders:inserted', 'lines:inserted'],
    (_, { eventId }: EventContext) => void ids.push(eventId),
    { name: 'search', existing: 'v1' },
  );
  await watch.start();
  await subscription.existing.done;
  expect(ids).toHaveLength(301);

  const asked = await cli(['existing', 'restart', 'search', '--slot', slot], { url: db.url });
  expect(asked).toMatchObject({ code: 2, stderr: expect.stringContaining('nothing was changed') });
  const unknown = await cli(['existing', 'restart', 'serach', '--slot', slot, '--yes'], { url: db.url });
  expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining("Known: 'search' (public.lines)") });
  const restart = ['existing', 'restart', 'search', '--table', 'lines', '--slot', slot, '--yes'];
  expect(await cli(restart, { url: db.url })).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('1 table will be read again: the running worker starts within 10 seconds.'),
  });
  await until(() => ids.length === 302, { timeout: 15_000, describe: () => `302 rows; so far ${ids.length}` });
  await subscription.existing.done;
  expect(ids.at(-1)).toBe('existing/v1/2/public.lines/1');
  expect((await json(['existing', 'list', '--table', 'lines', '--slot', slot])).found).toMatchObject([
    { table: 'public.lines', run: 2, state: 'done', rows: 1 },
  ]);
}); // prettier-ignore

test('restart while a table is being read begins it again, also with transaction: true', async () => {
  await tables();
  const slot = slotName();
  const watch = watchOf(watchers, { slot });
  const held = deferred();
  const ids: string[] = [];
  const subscription = watch.subscribe(
    'orders:inserted',
    async (_, { eventId }) => {
      ids.push(eventId);
      if (ids.length === 120) await held.promise;
    },
    { name: 'search', transaction: true, existing: { version: 'v1', chunk: 50 } },
  );
  await watch.start();
  await until(() => ids.length === 120, { describe: () => `120 rows; so far ${ids.length}` });
  const restarted = json(['existing', 'restart', 'search', '--slot', slot, '--yes']);
  // The handler's transaction holds the stored state.
  const waits = async () => (await db.sql(`select from pg_stat_activity where wait_event_type = 'Lock' and query like 'update walwatch.existing%'`)).length > 0;
  await until(waits, { describe: () => 'the restart to wait for the handler' });
  held.resolve();
  expect(await restarted).toEqual({ code: 0, found: { restarted: 1 } });
  await subscription.existing.done;
  expect(ids.filter((id) => id.startsWith('existing/v1/2/'))).toHaveLength(300);
  expect(subscription.existing).toMatchObject({ state: 'done', rows: 300 });
}); // prettier-ignore

test('a worker that starts after a restart reads the rows again', async () => {
  await tables();
  const slot = slotName();
  const read = async () => {
    await using watch = watchOf(watchers, { slot });
    let count = 0;
    const subscription = watch.subscribe('orders:inserted', () => void count++, { name: 'search', existing: 'v1' });
    await watch.start();
    await subscription.existing.done;
    return count;
  };
  expect([await read(), await read()]).toEqual([300, 0]);
  expect(await cli(['existing', 'restart', 'search', '--slot', slot, '--yes'], { url: db.url })).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('1 table will be read again: the next worker reads them when it starts.'),
  });
  expect(await read()).toBe(300);
});

test('doctor names the rights that the worker lacks, and its fixes suffice for reading existing rows', async () => {
  await tables();
  const role = `reader_${process.pid}`;
  const slot = nameOn(db);
  const url = new URL(db.url);
  [url.username, url.password] = [role, 'secret'];
  await db.sql(`create role ${role} login replication password 'secret'; grant usage on schema public to ${role};
                create role ${role}_other; alter table orders owner to ${role}_other; alter table orders enable row level security`);
  onTestFinished(async () => void (await db.sql(`drop owned by ${role}; drop role ${role}; alter table orders owner to current_user; drop role ${role}_other`)));
  const cwd = await folder({
    'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
      export default defineConfig({ slot: '${slot}', manage: 'verify',
        watchers: defineWatchers()([['orders', 'inserted', { extraColumns: ['total'] }]]) });
      export function subscribe(watch) { watch.subscribe('orders:inserted', () => {}, { name: 'search', existing: 'v1' }); }`,
  });
  await cli(['setup', '--yes'], { url: db.url, cwd });
  await db.sql('drop table walwatch.existing');
  const examine = async () => {
    const { stdout } = await cli(['doctor', '--json'], { url: url.href, cwd });
    const { checks } = JSON.parse(stdout) as { checks: { name: string; level: string; found: string; fix?: string }[] };
    return checks.filter(({ name }) => name === 'existing rows' || name === 'walwatch.existing');
  };
  const fix = async (checks: Awaited<ReturnType<typeof examine>>) => {
    for (const { fix: sql } of checks) if (sql) await inSession(db.url, (client) => client.query(sql));
  };
  const first = await examine();
  expect(first).toMatchObject([
    { name: 'walwatch.existing', level: 'problem', found: expect.stringContaining('missing') },
    { name: 'existing rows', level: 'problem', found: `existing: the role '${role}' may not read "public"."orders"` },
    { name: 'existing rows', level: 'problem', found: expect.stringContaining('row-level security hides rows') },
  ]);
  await fix(first);
  expect(await examine()).toMatchObject([{ name: 'existing rows', level: 'ok' }]);

  const watch = watchOf(watchers, { connection: url.href, slot, watchers: defineWatchers<DB>()([['orders', 'inserted', { extraColumns: ['total'] }]]), manage: 'verify' } as never);
  let count = 0;
  const subscription = watch.subscribe('orders:inserted', () => void count++, { name: 'search', existing: 'v1' });
  await watch.start();
  await subscription.existing.done;
  expect(count).toBe(300);
}); // prettier-ignore
