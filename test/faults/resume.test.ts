/** A worker is killed, at any moment: nothing is lost, and what comes again comes under the same id. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication } from '../support/watching.ts';

const db = useDatabase();

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
  { timeout: 120_000 },
  async () => {
    const slot = `killed_${process.pid}`;
    onTestFinished(() => dropSlotAndPublication(db, slot));
    await db.sql('create table entries (id int generated always as identity primary key, record int, version int)');
    const lines: Line[] = [];
    const delivered = () => lines.filter((line): line is Required<Line> => line.id !== undefined);

    let worker = startWorker(slot, lines);
    await until(() => lines.some((line) => line.started), { describe: 'the first worker' });
    let written = 0;
    let writing = true;
    const writer = (async () => {
      for (let version = 1; writing; version++) {
        const rows = await db.sql(
          `insert into entries (record, version) select record, $1 from generate_series(1, 20) record returning id`,
          [version],
        );
        written += rows.length;
      }
    })();

    for (let round = 1; round <= 5; round++) {
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
