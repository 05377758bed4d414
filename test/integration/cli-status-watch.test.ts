/** status --watch: a screen that is refreshed until Ctrl-C. */
import { expect, onTestFinished, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { cli, folder, startCli, startInWindow, startOnTerminal } from '../support/cli.ts';
import { startCluster } from '../support/cluster.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

const configured = (slot: string) =>
  folder({
    'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
      export default defineConfig({ slot: '${slot}', watchers: defineWatchers([['users', 'inserted']]) });`,
  });

test('--watch refreshes and shows the last events as they happen, without disturbing the worker, until Ctrl-C', async () => {
  const slot = slotName();
  const cwd = await configured(slot);
  const watch = watchOf(defineWatchers([['users', 'inserted']]), { slot });
  const handled: unknown[] = [];
  watch.subscribe('users:inserted', (event: unknown) => void handled.push(event));
  await watch.start();
  const running = startCli(['status', '--watch', '--json', '--interval', '0.05'], { url: db.url, cwd });
  await running.says(/"lastEvents":\[\]/);
  const beside = `select from pg_stat_replication where application_name like 'walwatch/walwatch\\_live\\_%' and state = 'streaming'
    and pid in (select active_pid from pg_replication_slots where database = current_database())`;
  await until(async () => (await db.sql(beside)).length > 0, { describe: 'the temporary slot to stream' });
  await db.sql(`insert into users (name) values ('Ada')`);
  await running.says(
    /"lastEvents":\[\{"at":"[^"]+","watcher":"users:inserted","eventId":"[0-9A-F]+\/[0-9A-F]+\/0"\}\]/,
  );
  running.child.kill('SIGINT');
  running.child.kill('SIGINT'); // as npx does
  const { code, stdout } = await running.ended;
  expect(code).toBe(0);
  for (const line of stdout.trimEnd().split('\n')) expect(JSON.parse(line)).toMatchObject({ slot });
  await until(() => handled.length === 1, { describe: 'the worker to receive it, too' });
});

/** The last screen that was drawn, as lines without colours. */
const screenOf = (output: string) =>
  output
    .split('\u001b[H\u001b[J')
    .at(-1)!
    // oxlint-disable-next-line no-control-regex
    .replaceAll(/\u001b\[[\d;]*m|\r/g, '')
    .split('\n');

test('--watch uses the alternate screen, redraws it when the window is resized, and prints the last status at the end', async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  const cwd = await configured(slot);
  await cli(['setup', '--yes'], { url: db.url, cwd });
  const shown = startInWindow(['status', '--watch', '--interval', '3600'], { url: db.url, cwd, rows: 24, columns: 80 });
  await until(() => screenOf(shown.stdout()).length > 5, { describe: () => `a screen in ${shown.stdout()}` });
  for (const [rows, columns] of [[24, 30], [4, 60], [40, 200]] as const) {
    const before = shown.stdout().length;
    await shown.resize(rows, columns);
    await until(() => shown.stdout().slice(before).includes('\u001b[H\u001b[J'), { describe: 'a new screen' });
    const lines = screenOf(shown.stdout());
    // No line wraps and nothing scrolls, so that the next screen clears everything.
    expect(lines.length).toBeLessThanOrEqual(rows);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
    expect(lines[0]).toMatch(/^✗ /);
  }
  shown.type('\u0003'); // Ctrl-C
  const { code, stdout } = await shown.ended;
  expect(code).toBe(0);
  const [, after] = stdout.split('\u001b[?25h\u001b[?1049l');
  expect(after).toMatch(/no worker is connected[^]*waiting/);
}); // prettier-ignore

test('--watch ends cleanly with its pipe, and moves no cursor on a dumb terminal', async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  const cwd = await configured(slot);
  await cli(['setup', '--yes'], { url: db.url, cwd });
  const env = { TERM: 'dumb' };
  const dumb = startOnTerminal(['status', '--watch', '--interval', '0.05'], { url: db.url, cwd, env });
  await until(() => dumb.stdout().split('no worker is connected').length > 2, { describe: 'a second status' });
  dumb.type('\u0003');
  expect(await dumb.ended).toMatchObject({ code: 0, stdout: expect.not.stringContaining('\u001b') });
  const piped = startCli(['status', '--watch', '--interval', '0.05'], { url: db.url, cwd });
  await piped.says(/no worker is connected/);
  piped.child.stdout!.destroy();
  expect(await piped.ended).toMatchObject({ code: 0, stderr: '' });
});

test('--watch reports a stopped server and continues when it is back', async () => {
  await using cluster = await startCluster();
  const slot = slotName();
  const running = startCli(['status', '--watch', '--json', '--interval', '0.1', '--slot', slot], { url: cluster.url });
  await running.says(/the slot '\w+' does not exist/);
  await cluster.stop('fast');
  await running.says(/"level":"problem","reasons":\["[A-Z_]+: /);
  const before = running.stdout().length;
  await cluster.start();
  await until(() => running.stdout().slice(before).includes('does not exist: walwatch setup creates it'), {
    describe: 'the next status',
  });
  running.child.kill('SIGINT');
  expect((await running.ended).code).toBe(0);
});
