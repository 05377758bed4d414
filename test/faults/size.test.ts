/** Memory does not grow with the transaction, the number of subscriptions, or time. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { useOwnServer } from '../support/database.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, slotName } from '../support/watching.ts';

// Its own server: existing rows and new slots of all databases wait for its long transactions.
const db = useOwnServer();
beforeAll(() => db.sql('create table bulk (id int primary key, note text)'));

/** Runs the program with this many MB of heap; returns the lines that it has printed. */
function run(
  mode: string,
  amount: number,
  heap = 128,
): { lines: Record<string, number>[]; exited: Promise<number | null> } {
  const slot = slotName();
  const args = [
    '--expose-gc',
    `--max-old-space-size=${heap}`,
    '.build/test/programs/endurance.js',
    db.url,
    slot,
    mode,
    String(amount),
  ];
  const program = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: Record<string, number>[] = [];
  createInterface(program.stdout).on('line', (line) => lines.push(JSON.parse(line) as Record<string, number>));
  const exited = once(program, 'exit').then(([code]) => code as number | null);
  onTestFinished(async () => {
    program.kill('SIGKILL');
    await exited;
    await dropSlotAndPublication(db, slot);
    await db.sql('truncate bulk');
  });
  return { lines, exited };
}

test('a transaction of 2,000,000 rows passes through 128 MB of heap', { timeout: 180_000 }, async () => {
  const { lines, exited } = run('rows', 2_000_000);
  await until(() => lines.length > 0, { describe: 'the worker' });
  await db.sql(`insert into bulk select n, 'note ' || n from generate_series(1, 2000000) n`);
  expect(await exited).toBe(0);
  expect(lines.at(-1)).toMatchObject({ handled: 2_000_000 });
});

test('subscriptions by id take little memory, and an event finds its own among 1,000,000', async () => {
  const { lines, exited } = run('subscriptions', 1_000_000, 512);
  expect(await exited).toBe(0);
  expect(lines).toEqual([{ heard: [999_999], bytes: expect.any(Number) }]);
  expect(lines[0]!['bytes']).toBeLessThan(400);
});

test('values of 100 MB pass one after another, and none is kept', { timeout: 180_000 }, async () => {
  const { lines, exited } = run('values', 8, 256);
  expect(await exited).toBe(0);
  expect(lines.map(({ length }) => length)).toEqual(Array.from({ length: 8 }, () => 100_000_000));
  // The last one, and the buffer that pg received it in, may still be there; eight of them would be 800 MB.
  for (const { used } of lines) expect(used).toBeLessThan(350_000_000);
});

test('unneeded messages, rows and values take no memory, however large', { timeout: 120_000 }, async () => {
  const { lines, exited } = run('unwanted', 300, 128);
  expect(await exited).toBe(0);
  expect(lines).toMatchObject([{ heard: 2 }]);
  expect(lines[0]!['grown']).toBeLessThan(150_000_000);
});

test(
  'a value too large for JavaScript is reported with column, table, event and size, once',
  { timeout: 120_000 },
  async () => {
    const size = 540_000_000;
    const { lines, exited } = run('oversized', size);
    expect(await exited).toBe(0);
    expect(lines).toEqual([
      {
        id: 1,
        absent: ['note'],
        code: 'VALUE_ABSENT',
        message: expect.stringMatching(
          new RegExp(`the value of "note" of "public"\\."bulk", event [0-9A-F]+/[0-9A-F]+/0, has ${size} bytes`),
        ),
        state: 'streaming',
      },
    ]);
  },
);

test(
  'after 200 reconnects and 20,000 ended subscriptions no memory is kept for them',
  { timeout: 120_000 },
  async () => {
    const { lines, exited } = run('churn', 200);
    expect(await exited).toBe(0);
    const [measured] = lines;
    expect(measured).toMatchObject({ subscriptions: 0 });
    expect(measured!['resources']).toBeLessThanOrEqual(0); // less: the timer of an acknowledgement has run out since
    expect(measured!['growth']).toBeLessThan(2_000_000);
  },
);
