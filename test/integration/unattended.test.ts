/** A worker without a logger and listeners reports what matters, ends in order, and its exit code shows the outcome. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { helpFor, type WatchErrorCode } from '../../src/errors.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { nameOn } from '../support/watching.ts';

const db = useDatabase();
/** Nothing listens there. */
const nowhere = 'postgres://ann:hunter2@127.0.0.1:1/nowhere';

function unattended(url: string, slot: string, what: string) {
  const child = spawn(process.execPath, ['.build/test/programs/unattended.js', url, slot, what], {
    env: { PATH: process.env['PATH'] },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => {
    const told = { text: '' };
    stream.setEncoding('utf8').on('data', (text: string) => (told.text += text));
    return told;
  }) as [{ text: string }, { text: string }];
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return {
    ended,
    says: (pattern: RegExp) =>
      until(() => pattern.test(stdout.text + stderr.text), { describe: () => `${pattern}: ${stderr.text}` }),
    /** Without Node's hint about its own options. */
    get warnings() {
      return stderr.text.split('\n').filter((line) => line !== '' && !line.startsWith('(Use `node'));
    },
    async stop() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}
const line = (code: WatchErrorCode, text: string) =>
  expect.stringMatching(
    new RegExp(`^\\(node:\\d+\\) \\[${code}\\] WalwatchWarning: test_\\w+: .*${text}.* See ${helpFor(code)}$`),
  );

test.each(['wrong', 'wrong, closed', 'wrong, awaited'])(
  'a start that fails ends the process with a non-zero exit code: %s',
  async (what) => {
    const worker = unattended(db.url, nameOn(db), what);
    expect(await worker.ended).toBe(1);
    if (what === 'wrong') expect(worker.warnings).toEqual([line('CONFIGURATION', 'does not exist')]);
    else expect(worker.warnings.join('\n')).toContain('does not exist');
  },
);

test('an unreachable server is reported once, without the password, and stop() during the start is a normal end', async () => {
  const quiet = unattended(nowhere, 'test_silent', 'silent');
  const workers = ['awaited', 'closed', 'neither'].map((what) => unattended(nowhere, 'test_slot', what));
  await Promise.all(
    workers.map(async (worker) => {
      await worker.says(/WalwatchWarning/);
      expect(await worker.stop()).toBe(0);
      expect(worker.warnings).toEqual([line('CONNECTION', 'ECONNREFUSED')]);
      expect(worker.warnings.join('\n')).not.toContain('hunter2');
    }),
  );
  await quiet.says(/starting/);
  expect(await quiet.stop()).toBe(0);
  expect(quiet.warnings).toEqual([]);
});

test('a connection without a server is refused at once', async () => {
  const worker = unattended('', 'test_slot', 'neither');
  expect(await worker.ended).toBe(1);
  expect(worker.warnings.join('\n')).toContain('no server is named');
});

test('a second worker reports that it is on standby; its start ends normally with stop()', async () => {
  const slot = nameOn(db);
  const first = unattended(db.url, slot, 'awaited');
  await first.says(/started/);
  const second = unattended(db.url, slot, 'awaited');
  await second.says(/WalwatchWarning/);
  expect(await second.stop()).toBe(0);
  expect(second.warnings).toEqual([line('SLOT_ACTIVE', 'waits as its standby')]);
  expect(await first.stop()).toBe(0);
  expect(first.warnings).toEqual([]);
});

test('a failing handler is reported once, with the SQL that shows its row', async () => {
  const worker = unattended(db.url, nameOn(db), 'failing handler');
  await worker.says(/starting/);
  await until(
    async () => {
      await db.sql(`insert into users (name) values ('x')`);
      return worker.warnings.length > 0;
    },
    { describe: 'the warning' },
  );
  await worker.says(/handler\n[^]*handler\n/); // more attempts
  expect(await worker.stop()).toBe(0);
  expect(worker.warnings).toEqual([line('HANDLER_FAILED', `SELECT \\* FROM "public"\\."users" WHERE "id" = '\\d+';`)]);
});

test('watches that are never started are reported at the exit in one line, with a single listener', async () => {
  const worker = unattended(db.url, 'test_slot', 'never');
  expect(await worker.ended).toBe(0);
  await worker.says(/1000 watches, 0 more listeners/);
  expect(worker.warnings).toEqual([
    expect.stringMatching(
      /\[NOT_STARTED\] WalwatchWarning: (test_slot, ){4}test_slot and 995 more: .*start\(\)\. See walwatch\/docs\/reference\/errors\.md#not_started$/,
    ),
  ]);
});

test('a watch that is never started is reported at stop(), unless it was only used for its dead letters', async () => {
  const [worker, letters] = ['never, stopped', 'never, letters'].map((what) => unattended(db.url, 'test_slot', what));
  expect([await worker!.ended, await letters!.ended]).toEqual([0, 0]);
  expect(worker!.warnings).toEqual([line('NOT_STARTED', 'never started')]);
  expect(letters!.warnings).toEqual([]);
});

test('a start() after stop() is reported, and does not end a process that is shutting down', async () => {
  const worker = unattended(db.url, 'test_slot', 'stop first');
  expect(await worker.ended).toBe(0);
  expect(worker.warnings).toEqual([line('NOT_STARTED', ''), line('STOPPED', 'has been stopped')]);
});
