/** Existing rows while something fails: each recorded row is handled once, and changes of a record never overtake its row. */
import { expect, onTestFinished, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { expectCopied, makeCopyTables, startCopier, writeTo } from '../support/copier.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, slotName } from '../support/watching.ts';

const db = useDatabase();
/** `WALWATCH_ROUNDS=100 npm run test:faults -- test/faults/existing-rows.test.ts` for more of it. */
const rounds = Number(process.env['WALWATCH_ROUNDS'] ?? 3);

const handled = async () => (await db.sql<{ count: number }>('select count(*)::int as count from handled'))[0]!.count;

test.each(['single', 'batch'] as const)(
  'a worker that is killed while it reads handles each recorded row once and loses none (%s)',
  { timeout: 60_000 + rounds * 20_000 },
  async (mode) => {
    const keys = mode === 'batch';
    await makeCopyTables(db, 1500);
    const slot = slotName();
    onTestFinished(() => dropSlotAndPublication(db, slot));
    const endWriters = writeTo(db, 'items', { pause: 50, keys });
    const copiers = [startCopier(db, slot, mode)];
    for (let round = 1; round <= rounds; round++) {
      const before = await handled();
      const some = Math.floor(Math.random() * 400);
      await until(async () => (await handled()) > before + some || copiers.at(-1)!.lines.some(({ done }) => done), {
        describe: () => `more than ${some} events in round ${round}: ${JSON.stringify(copiers.at(-1)!.lines)}`,
        timeout: 20_000,
      });
      await copiers.at(-1)!.end();
      if (copiers.at(-1)!.lines.some(({ done }) => done)) {
        // All is read: the next one begins again.
        await makeCopyTablesAgain();
      }
      copiers.push(startCopier(db, slot, mode));
    }
    await until(() => copiers.at(-1)!.lines.some(({ done }) => done), {
      describe: () => `all rows: ${JSON.stringify(copiers.at(-1)!.lines)}`,
      timeout: 30_000,
    });
    await endWriters();
    await expectCopied(db, copiers, { keys });
    await copiers.at(-1)!.end('SIGTERM');
  },
);

/** The next start reads all rows again. */
async function makeCopyTablesAgain(): Promise<void> {
  await db.sql(`delete from walwatch.existing; delete from handled where existing`);
}

test(
  'a second worker that takes over during reading continues where the first one was',
  { timeout: 60_000 },
  async () => {
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
  },
);

test(
  'sessions that are terminated while rows are read are opened again, and nothing is handled twice',
  { timeout: 60_000 },
  async () => {
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
        timeout: 20_000,
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
  },
);

test(
  'a worker that is stopped while it reads stores its progress, and the next one continues there',
  { timeout: 60_000 },
  async () => {
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
      timeout: 20_000,
    });
    await expectCopied(db, [first, second], { keys: false });
    expect(await handled()).toBe(1500);
    await second.end('SIGTERM');
  },
);
