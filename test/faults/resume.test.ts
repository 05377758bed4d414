/** A worker is killed at any moment: nothing is lost, and repeated events have the same id. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication } from '../support/watching.ts';

const db = useDatabase();
/** `WALWATCH_ROUNDS=100 npm run test:integration -- test/faults/resume.test.ts` runs more rounds. */
const rounds = Number(process.env['WALWATCH_ROUNDS'] ?? 10);

beforeEach(async () => {
  await db.sql('drop table if exists entries');
  await db.sql('create table entries (id int generated always as identity primary key, record int, version int)');
});

interface Line {
  readonly id?: number;
  readonly record?: number;
  readonly version?: number;
  readonly eventId?: string;
  readonly acknowledged?: string;
  readonly started?: boolean;
  readonly error?: string;
}

function startWorker(slot: string, lines: Line[]): ChildProcess {
  const worker = spawn(process.execPath, ['.build/test/programs/recorder.js', db.url, slot], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  createInterface(worker.stdout!).on('line', (line) => lines.push(JSON.parse(line) as Line));
  onTestFinished(async () => {
    if (worker.exitCode === null && worker.signalCode === null) {
      worker.kill('SIGKILL');
      await once(worker, 'exit');
    }
  });
  return worker;
}

test(
  'a worker that is killed again and again misses nothing, and repeats under the same event ids',
  { timeout: 60_000 + rounds * 10_000 },
  async () => {
    const slot = `killed_${process.pid}`;
    onTestFinished(() => dropSlotAndPublication(db, slot));
    const lines: Line[] = [];
    const delivered = () => lines.filter((line): line is Required<Line> => line.id !== undefined);

    let worker = startWorker(slot, lines);
    await until(() => lines.some((line) => line.started), { describe: 'the first worker' });
    let written = 0;
    let writing = true;
    const writer = (async () => {
      for (let version = 1; writing; version++) {
        // Not so far ahead that the test becomes one of speed.
        await until(() => !writing || written - delivered().length < 2000, {
          describe: 'the worker to follow',
          timeout: 60_000,
        });
        const rows = await db.sql(
          `insert into entries (record, version) select record, $1 from generate_series(1, 20) record returning id`,
          [version],
        );
        written += rows.length;
      }
    })();

    for (let round = 1; round <= rounds; round++) {
      const before = delivered().length;
      const some = Math.floor(Math.random() * 200);
      await until(() => delivered().length > before + some, { describe: `more than ${some} events in round ${round}` });
      worker.kill('SIGKILL');
      await once(worker, 'exit');
      worker = startWorker(slot, lines);
    }
    writing = false;
    await writer;
    await until(() => new Set(delivered().map(({ id }) => id)).size === written, {
      describe: () => `all ${written} rows; so far ${new Set(delivered().map(({ id }) => id)).size}`,
      timeout: 30_000,
    });
    worker.kill('SIGTERM');
    await once(worker, 'exit');

    const ids = new Map<number, string>();
    for (const { id, eventId } of delivered()) {
      expect(ids.get(id) ?? eventId).toBe(eventId);
      ids.set(id, eventId);
    }
    expect(new Set(ids.values()).size).toBe(written);
    expect(lines.filter((line) => line.error)).toEqual([]);
  },
);

test.for([
  [
    'a transaction of 100,000 rows',
    `insert into entries (record, version) select n % 20, n from generate_series(1, 100000) n`,
  ],
  ['a COPY', `copy entries (record, version) from program 'seq 100000 | sed "s/.*/1\t&/"'`],
] as const)(
  'a worker that is killed in the middle of %s gets all of it again',
  { timeout: 90_000 },
  async ([, statement]) => {
    const slot = `killed_in_the_middle_${process.pid}`;
    onTestFinished(() => dropSlotAndPublication(db, slot));
    const lines: Line[] = [];
    const seen = () => new Set(lines.flatMap(({ id }) => id ?? []));
    const worker = startWorker(slot, lines);
    await until(() => lines.some((line) => line.started), { describe: 'the worker' });
    await db.sql(statement);
    await until(() => lines.length > 5000, { describe: 'some thousand events' });
    worker.kill('SIGKILL');
    await once(worker, 'exit');
    expect(seen().size).toBeLessThan(100_000);
    const next = startWorker(slot, lines);
    await until(() => lines.length > 100_000 && seen().size === 100_000, {
      describe: () => `all rows, so far ${seen().size}`,
      timeout: 60_000,
    });
    next.kill('SIGTERM');
    await once(next, 'exit');
    // The whole transaction was delivered again, because none of it was acknowledged.
    expect(lines.filter(({ id }) => id !== undefined).length).toBeGreaterThanOrEqual(105_000);
  },
);
