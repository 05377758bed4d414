/** Existing rows while something fails: each recorded row is handled once, and changes of a record never overtake its row. */
import { expect, onTestFinished, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { expectCopied, makeCopyTables, startCopier, writeTo } from '../support/copier.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, slotName } from '../support/watching.ts';

const db = useDatabase();
/** `node scripts/kill-existing.mjs` for more of it. */
const rounds = Number(process.env['WALWATCH_ROUNDS'] ?? 3);

const handled = async () => (await db.sql<{ count: number }>('select count(*)::int as count from handled'))[0]!.count;

/** What the database shows of a worker. */
async function lookAt(slot: string) {
  const [row] = await db.sql<{ connected: boolean; streams: boolean; owner: string; cursor: string; state: string }>(
    `select exists (select from pg_stat_activity where application_name like 'walwatch/' || $1 || '%') as connected,
            exists (select from pg_replication_slots where slot_name = $1 and active) as streams, owner, cursor::text, state
     from (select) one left join walwatch.existing on slot = $1`,
    [slot],
  );
  return { ...row!, handled: await handled() };
}
type Look = Awaited<ReturnType<typeof lookAt>>;

/** What a worker does when it is killed, compared with how it was before it started. `some`: a random number of rows. */
const steps: readonly (readonly [string, (now: Look, before: Look, some: number) => boolean])[] = [
  ['handles rows', (now, before, some) => now.handled > before.handled + some],
  ['has just taken its state', (now, before) => now.owner !== before.owner],
  ['has just stored its progress', (now, before) => now.cursor !== before.cursor],
  ['connects', (now) => now.connected],
  ['has just begun to stream', (now) => now.streams],
  ['has just read all rows', (now) => now.state === 'done'],
];

test.each(['plain', 'single', 'batch'] as const)(
  'a worker that is killed at any step handles each recorded row once and loses none (%s)',
  { timeout: 60_000 + rounds * 20_000 },
  async (mode) => {
    const keys = mode !== 'single';
    await makeCopyTables(db, 1000);
    await db.sql(`insert into items (id) select id from generate_series(-400, 5400) id where ${calm}`);
    const slot = slotName();
    onTestFinished(() => dropSlotAndPublication(db, slot));
    const endWriters = writeTo(db, 'items', { pause: 50, keys });
    onTestFinished(endWriters); // also if it fails
    // Creates the table of the state.
    const copiers = [startCopier(db, slot, mode)];
    await until(() => copiers[0]!.lines.some(({ started }) => started), { describe: 'a worker' });
    await copiers[0]!.end();
    for (let round = 0; round < rounds; round++) {
      const gone = async () => !(await lookAt(slot)).connected;
      await until(gone, { describe: 'the sessions of the worker before to end' });
      const before = await lookAt(slot);
      const some = Math.floor(Math.random() * 400);
      const copier = startCopier(db, slot, mode);
      copiers.push(copier);
      const [step, isDoing] = steps[round % steps.length]!;
      const isDone = () => copier.lines.some(({ done }) => done);
      await until(async () => isDoing(await lookAt(slot), before, some) || isDone(), {
        describe: () => `a worker that ${step}, in round ${round}: ${JSON.stringify(copier.lines)}`,
        timeout: 30_000,
      });
      await copier.end();
      if (process.env['WALWATCH_ROUNDS'])
        console.log(`${mode}, round ${round + 1}: killed while it ${step}`, await lookAt(slot));
      if ((await lookAt(slot)).state === 'done') await beginAgain();
    }
    const last = startCopier(db, slot, mode);
    copiers.push(last);
    await until(() => last.lines.some(({ done }) => done), {
      describe: () => `all rows: ${JSON.stringify(last.lines)}`,
      timeout: 30_000,
    });
    await endWriters();
    await expectCopied(db, copiers, { keys, recorded: mode !== 'plain' });
    await last.end('SIGTERM');
  },
);

/** Rows that no writer changes: they arrive only as existing rows. */
const calm = '(id < 0 or id > 5000)';

/** Everything was read. The next start reads all rows again. */
async function beginAgain(): Promise<void> {
  expect(await db.sql(`select id from items where ${calm} except select id from copy`)).toEqual([]);
  await db.sql(`delete from walwatch.existing; delete from handled where existing; delete from copy where ${calm}`);
}

test('a second worker that takes over during reading continues where the first one was', async () => {
  await makeCopyTables(db, 1500);
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  const endWriters = writeTo(db, 'items', { pause: 50, keys: false });
  const first = startCopier(db, slot, 'single');
  await until(async () => (await handled()) > 300, { describe: () => `300 events: ${JSON.stringify(first.lines)}` });
  const second = startCopier(db, slot, 'single');
  await until(() => second.lines.some(({ done }) => done), {
    describe: () => `all rows: ${JSON.stringify([first.lines, second.lines])}`,
    timeout: 30_000,
  });
  await endWriters();
  await expectCopied(db, [first, second], { keys: false });
  await first.end('SIGTERM');
  await second.end('SIGTERM');
});

test('sessions that are terminated while rows are read are opened again, and nothing is handled twice', async () => {
  await makeCopyTables(db, 1500);
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  const endWriters = writeTo(db, 'items', { pause: 50, keys: false });
  const copier = startCopier(db, slot, 'batch');
  for (const [at, who] of [
    [200, `application_name like '%:existing'`],
    [500, `backend_type = 'walsender'`],
    [800, `application_name like '%:existing'`],
    [1100, `application_name like '%:handler'`],
  ] as const) {
    await until(async () => (await handled()) > at, {
      describe: () => `${at} events: ${JSON.stringify(copier.lines)}`,
    });
    await db.sql(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and ${who}`,
    );
  }
  await until(() => copier.lines.some(({ done }) => done), {
    describe: () => JSON.stringify(copier.lines),
    timeout: 30_000,
  });
  await endWriters();
  await expectCopied(db, [copier], { keys: false });
  expect(copier.lines.filter(({ warning }) => warning?.includes('read again'))).toEqual([]);
  await copier.end('SIGTERM');
});

test('a worker that is stopped while it reads stores its progress, and the next one continues there', async () => {
  await makeCopyTables(db, 1500);
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  const first = startCopier(db, slot, 'batch');
  await until(async () => (await handled()) > 300, { describe: () => JSON.stringify(first.lines) });
  await first.end('SIGTERM');
  const [stored] = await db.sql<{ rows: string; state: string }>(
    'select rows::int, state from walwatch.existing where slot = $1',
    [slot],
  );
  expect(stored).toEqual({ rows: await handled(), state: 'reading' });
  const second = startCopier(db, slot, 'batch');
  await until(() => second.lines.some(({ done }) => done), {
    describe: () => JSON.stringify(second.lines),
  });
  await expectCopied(db, [first, second], { keys: false });
  expect(await handled()).toBe(1500);
  await second.end('SIGTERM');
});
