/** The start after a crash: dead letters that were already written, and events that end the process. */
import { beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { startProgram } from '../support/program.ts';
import { recorder } from '../support/recorder.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ jobs: { id: number }; other: { id: number } }>()([
  ['jobs', 'inserted'],
  ['other', 'inserted'],
]);

interface Line {
  readonly started?: true;
  readonly id?: number;
  readonly attempt?: number;
}

beforeAll(async () => {
  await db.sql('create table jobs (id int primary key)');
  await db.sql('create table other (id int primary key)');
});
beforeEach(async () => {
  await db.sql('truncate jobs, other');
  await db.sql('drop schema if exists walwatch cascade');
});

const letters = (slot: string) =>
  db.sql('select subscription, attempts, error from walwatch.dead_letters where slot = $1', [slot]).catch(() => []);

test.each([false, true])(
  'an event whose dead letter was written before the process was killed is not handled again (transaction: %s)',
  async (transaction) => {
    const slot = slotName();
    const lines: Line[] = [];
    const worker = startProgram<Line>('dying', [db.url, slot, 'fails', transaction ? 'transaction' : ''], (line) =>
      lines.push(line),
    );
    await until(() => lines.some(({ started }) => started), { describe: 'the worker' });
    await db.sql('insert into other values (1)'); // it holds the slot
    await db.sql('insert into jobs values (1)');
    await until(async () => (await letters(slot)).length === 1, { describe: 'the letter' });
    await worker.end('SIGKILL');

    const watch = watchOf(watchers, { slot });
    const handled: number[] = [];
    watch.subscribe('jobs:inserted', ({ id }) => void handled.push(id), {
      name: 'worker', transaction, onError: { attempts: 1, then: 'deadLetter' },
    }); // prettier-ignore
    await watch.start();
    await db.sql('insert into jobs values (2)');
    await settled(db, watch);
    expect(handled).toEqual([2]);
    expect(await watch.deadLetters.replay()).toBe(1);
    expect(handled).toEqual([2, 1]);
  },
);

test('a handler that ends its process uses up attempts, and then onError decides', { timeout: 90_000 }, async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  const lines = recorder<Line>();
  let ended = false;
  let starts = 0;
  const run = async () => {
    lines.all.length = 0;
    starts++;
    const worker = startProgram<Line>('dying', [db.url, slot, 'exits'], lines);
    ended = false;
    return worker;
  };
  let worker = await run();
  await until(() => lines.all.some(({ started }) => started), { describe: 'the worker' });
  await db.sql('insert into jobs values (1), (2), (3)');
  const called: (readonly [number, number])[] = [];
  while (!ended && starts < 10) {
    await until(async () => (await letters(slot)).length > 0 || lines.all.some(({ id }) => id === 2), {
      describe: () => `the handler to be called; start ${starts}: ${JSON.stringify(lines.all)}`,
    });
    ended = (await letters(slot)).length > 0;
    if (ended) break;
    called.push(...lines.all.flatMap(({ id, attempt }) => (id === 2 ? [[id, attempt!] as const] : [])));
    await worker.end('SIGKILL'); // it has ended on its own
    worker = await run();
  }
  // Once before anything was noted, then as often as is allowed.
  expect(called.map(([, attempt]) => attempt)).toEqual([1, 1, 2, 3]);
  expect(await letters(slot)).toMatchObject([
    {
      subscription: 'worker',
      attempts: 3,
      error: expect.stringContaining('was called 3 times, and each time the process ended'),
    },
  ]);
  await until(() => lines.all.some(({ id }) => id === 3), { describe: 'the event after it' });
  await worker.end('SIGKILL');
});

test('a worker that was stopped normally has no attempts to report at the next start', async () => {
  const slot = slotName();
  const noted = () => db.sql('select subscription, event_id from walwatch.attempts where slot = $1', [slot]);
  const make = () => {
    const watch = watchOf(watchers, { slot });
    watch.subscribe('jobs:inserted', () => {}, { name: 'worker', onError: { attempts: 3, then: 'skip' } });
    return watch;
  };
  const first = make();
  await first.start();
  expect(await noted()).toEqual([{ subscription: '', event_id: '' }]);
  await first.stop();
  expect(await noted()).toEqual([]);
});

test('a lock on the table of dead letters delays only subscriptions that write letters', async () => {
  const watch = watchOf(watchers);
  const warnings: string[] = [];
  watch.on('warning', ({ code, message }) => warnings.push(`${code} ${message}`));
  watch.subscribe('jobs:inserted', () => Promise.reject(new Error('no')), {
    name: 'fails', onError: { attempts: 1, then: 'deadLetter' },
  }); // prettier-ignore
  const seen: number[] = [];
  watch.subscribe('other:inserted', ({ id }) => void seen.push(id));
  await watch.start();
  await db.sql('insert into jobs values (1)');
  await settled(db, watch);
  const client = await db.client();
  await client.query('begin; lock table walwatch.dead_letters in share mode');
  await db.sql('insert into jobs values (2)');
  await until(
    async () =>
      (await db.sql(`select from pg_locks where not granted and relation = 'walwatch.dead_letters'::regclass`)).length >
      0,
    { describe: 'the letter to wait' },
  );
  for (let id = 1; id <= 3; id++) {
    await db.sql('insert into other values ($1)', [id]);
    await until(() => seen.includes(id), { describe: `the event ${id}` });
  }
  expect(warnings).toEqual([]); // the letter still waits
  await until(() => warnings.some((text) => /DEAD_LETTER.*lock timeout/.test(text)), { describe: 'the warning' });
  await client.query('commit');
  await settled(db, watch);
  expect(await letters(watch.status().slot)).toHaveLength(2);
});

test('a value that is too long for a letter is shortened; such a letter cannot be replayed', async () => {
  await db.sql('create table texts (id int primary key, body text)');
  const watch = watchOf(
    defineWatchers<{ texts: { id: number; body: string } }>()([['texts', 'inserted', { extraColumns: ['body'] }]]),
  );
  const warnings: string[] = [];
  watch.on('warning', ({ message }) => warnings.push(message));
  let works = false;
  watch.subscribe('texts:inserted', () => {
    if (!works) throw new Error('no');
  }, { name: 'fails', onError: { attempts: 1, then: 'deadLetter' } }); // prettier-ignore
  await watch.start();
  await db.sql(`insert into texts values (1, repeat('x', 65000000)), (2, 'short')`);
  await settled(db, watch);
  const found = [];
  for await (const { event, shortened } of watch.deadLetters.list()) found.push({ event, shortened });
  expect(found).toEqual([
    { event: { id: 1, body: 'x'.repeat(1000) }, shortened: { body: 65_000_000 } },
    { event: { id: 2, body: 'short' }, shortened: undefined },
  ]);
  works = true;
  expect(await watch.deadLetters.replay()).toBe(1);
  expect(warnings).toEqual([expect.stringContaining('has only the beginning of body (65000000 characters)')]);
  expect(await letters(watch.status().slot)).toMatchObject([{ attempts: 1, error: expect.stringContaining('no') }]);
});
