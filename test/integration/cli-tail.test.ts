/** tail: events as they happen, as text and as JSON lines. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest';
import { cli, folder, type Running, startCli, startInWindow, startOnTerminal } from '../support/cli.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, slotName } from '../support/watching.ts';

const db = useDatabase();
beforeEach(() => db.sql('truncate users cascade'));

const insert = async (name: string): Promise<number> =>
  (await db.sql<{ id: number }>('insert into users (name) values ($1) returning id', [name]))[0]!.id;
const lines = (running: Running) =>
  running.stdout().split('\n').slice(0, -1).map((line) => JSON.parse(line)); // prettier-ignore
const annotate = `select pg_logical_emit_message(true, 'walwatch:annotations', '{"actor":"user:7"}')`;
const following = (running: Running) => running.says(/walwatch: following /);

/** Creates a slot and its publication, as setup does. */
async function durableSlot(...watchers: string[]): Promise<string> {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  expect(await cli(['setup', ...watchers, '--slot', slot, '--yes'], { url: db.url })).toMatchObject({ code: 0 });
  return slot;
}

describe('over a temporary slot', () => {
  test('it prints JSON lines in a pipe, with the columns of --columns, and leaves nothing behind', async () => {
    await db.sql('alter table users replica identity full');
    onTestFinished(() => db.sql('alter table users replica identity default').then(() => {}));
    const running = startCli(['tail', 'users:inserted', 'users:updated', '--columns', 'name,updated_at'], {
      url: db.url,
    });
    await following(running);
    const id = await insert('Ada');
    await db.sql(`${annotate}; update users set name = 'Grace', updated_at = '2026-11-22 10:00:00+00'`);
    await until(() => lines(running).length === 2, { describe: () => `two lines in ${running.stdout()}` });
    expect(lines(running)).toMatchObject([
      {
        watcher: 'users:inserted',
        type: 'inserted',
        schema: 'public',
        table: 'users',
        event: { id, name: 'Ada', updated_at: null },
      },
      {
        watcher: 'users:updated',
        annotations: { actor: 'user:7' },
        event: { id, name: 'Grace', updated_at: '2026-11-22T10:00:00.000Z' },
        previous: { name: 'Ada' },
        absent: [],
      },
    ]);
    expect(lines(running)[0].eventId).toMatch(/^[0-9A-F]+\/[0-9A-F]+\/0$/);
    running.child.kill('SIGTERM');
    expect((await running.ended).code).toBe(0);
    await until(
      async () => (await db.sql(`select from pg_replication_slots where database = $1`, [db.name])).length === 0,
      { describe: 'its slot to be dropped' },
    );
    expect(await db.sql('select from pg_publication')).toEqual([]);
  });

  test('on a terminal it prints coloured text, and JSON with --json', async () => {
    await db.sql('alter table users replica identity full');
    onTestFinished(() => db.sql('alter table users replica identity default').then(() => {}));
    const shown = startOnTerminal(['tail', 'users:updated', '--columns', 'name'], {
      url: db.url,
      env: { NO_COLOR: '1' },
    });
    const coloured = startOnTerminal(['tail', 'users:updated'], { url: db.url });
    const json = startOnTerminal(['tail', 'users:updated', '--json'], { url: db.url });
    for (const one of [shown, coloured, json]) await following(one);
    const id = await insert('Ada');
    await db.sql(`${annotate}; update users set name = E'Gr\\u001bace'`);
    await shown.says(
      new RegExp(
        `\\d\\d:\\d\\d:\\d\\d users:updated {2}id ${id}, name "Gr\\\\u001bace" {2}was name "Ada" {2}with actor "user:7"`,
      ),
    );
    await coloured.says(/36musers:updated/); // the rest consists of control characters
    expect(coloured.stdout()).toContain('\u001b[36musers:updated\u001b[0m');
    await json.says(/^\{"watcher":"users:updated".*\}/m);
    for (const one of [shown, coloured, json]) one.type('\u0003'); // Ctrl-C
    for (const one of [shown, coloured, json]) expect((await one.ended).code).toBe(0);
  });

  test('watchers of a configuration can be named', async () => {
    const cwd = await folder({
      'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
        export default defineConfig({ slot: 'never_used', watchers: defineWatchers([
          ['users', 'updated', { label: 'renamed', triggerColumns: ['name'], extraColumns: ['name'] }],
        ]) });`,
    });
    await db.sql('alter table users replica identity full');
    onTestFinished(() => db.sql('alter table users replica identity default').then(() => {}));
    const running = startCli(['tail', 'renamed'], { url: db.url, cwd });
    await following(running);
    await insert('Ada');
    await db.sql(`update users set phone = '1'`);
    await db.sql(`update users set name = 'Grace'`);
    await running.says(/"event":\{"id":\d+,"name":"Grace"\}/);
    expect(lines(running)).toHaveLength(1);
    running.child.kill('SIGINT');
    expect((await running.ended).code).toBe(0);
    expect(await db.sql(`select from pg_replication_slots where slot_name = 'never_used'`)).toEqual([]);
  });

  test.skipIf(inject('server').version < 15)('--where makes the server filter the rows', async () => {
    const args = ['tail', 'users:inserted', '--columns', 'name', '--where', `name like 'A%'`];
    const running = startCli(args, { url: db.url });
    await following(running);
    for (const name of ['Grace', 'Ada', 'Joan', 'Anne']) await insert(name);
    await until(() => lines(running).length === 2, { describe: () => `two lines in ${running.stdout()}` });
    expect(lines(running).map(({ event }) => event.name)).toEqual(['Ada', 'Anne']);
    running.child.kill('SIGINT');
    expect((await running.ended).code).toBe(0);
  });

  test('it reads through an existing publication and does not change it', async () => {
    const slot = await durableSlot('users:inserted', 'roles:deleted');
    const running = startCli(['tail', 'users:inserted', '--publication', slot], { url: db.url });
    await following(running);
    await insert('Ada');
    await running.says(/"watcher":"users:inserted"/);
    running.child.kill('SIGINT');
    await running.ended;
    expect(await db.sql('select from pg_publication_tables where pubname = $1', [slot])).toHaveLength(2);
  });

  test('it follows all watchers of a configuration, in commit order, even within a transaction', async () => {
    const cwd = await folder({
      'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
        export default defineConfig({ slot: 'never_used', watchers: defineWatchers(
          [['users', 'inserted', { extraColumns: ['name'] }], ['roles', 'inserted'], ['users', 'updated', { label: 'renamed', extraColumns: ['name'] }]],
          { when: { renamed: ({ name }) => name !== 'silent' } },
        ) });`,
    });
    const running = startCli(['tail'], { url: db.url, cwd });
    await running.says(/walwatch: following users:inserted, roles:inserted, renamed over/);
    // With one subscription per watcher, another watcher's events could overtake a waiting one.
    await db.sql(`do $$ begin
      for i in 1..20 loop
        insert into users (name) values ('user ' || i), ('other ' || i), ('third ' || i); insert into roles (name) values ('role ' || i || random());
        update users set name = 'renamed ' || i where name = 'user ' || i; update users set name = 'silent' where name = 'renamed ' || i;
        if i % 5 = 0 then commit; end if;
      end loop; end $$`);
    await until(() => lines(running).length === 100, { describe: () => `100 lines in ${running.stdout()}` });
    const once = ['users:inserted', 'users:inserted', 'users:inserted', 'roles:inserted', 'renamed'];
    expect(lines(running).map(({ watcher }) => watcher)).toEqual(Array.from({ length: 20 }, () => once).flat());
    running.child.kill('SIGINT');
    expect((await running.ended).code).toBe(0);
  });

  test('no value stops it, and control characters do not reach the terminal', async () => {
    await db.sql(`create table hostile (id int primary key, at timestamptz, day date, n numeric, f float8, j jsonb, b bytea, t text, ats timestamp[])`);
    onTestFinished(() => db.sql('drop table hostile').then(() => {}));
    const args = ['tail', 'hostile:inserted', '--columns', 'at,day,n,f,j,b,t,ats'];
    const piped = startCli(args, { url: db.url });
    const shown = startInWindow(args, { url: db.url, rows: 24, columns: 100, env: { NO_COLOR: '1' } });
    for (const one of [piped, shown]) await following(one);
    await db.sql(`insert into hostile values
      (1, '294276-12-31 23:59:59+00', '5874897-12-31', repeat('9', 2000)::numeric, 'NaN', '{"a":"\\u001b[2J"}', '\\x1b5b324a', E'\\u001b[2J\\u009b31m', '{294276-01-01 00:00:00}'),
      (2, '4713-01-01 00:00:00 BC', '-infinity', 'NaN', '-infinity', '1e400', null, repeat('x', 5000), '{infinity,NULL}'),
      (3, 'infinity', '0044-03-15 BC', '1e-300', '-0', 'null', repeat('a', 300)::bytea, E'\\u202egnirts', null)`);
    await until(() => lines(piped).length === 3, { describe: () => `three lines in ${piped.stdout()}${piped.stderr()}` });
    const [first] = lines(piped);
    expect(first.event).toMatchObject({ id: 1, at: expect.stringContaining('294276-12-31'), n: '9'.repeat(2000), f: 'NaN', b: '\\x1b5b324a', t: '\u001b[2J\u009b31m' });
    await shown.says(/hostile:inserted {2}id 3/);
    const printed = shown.stdout().split(/\r?\n/).filter((line) => line.includes('hostile:inserted  id'));
    expect(printed).toHaveLength(3);
    for (const line of printed) {
      expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/); // oxlint-disable-line no-control-regex
      expect(line.length).toBeLessThanOrEqual(100);
    }
    piped.child.kill('SIGINT');
    shown.type('\u0003');
    for (const one of [piped, shown]) expect((await one.ended).code).toBe(0);
  }); // prettier-ignore

  test('a watcher that does not fit the table ends it with 1', async () => {
    const { code, stdout, stderr } = await cli(['tail', 'users:updated', '--columns', 'nome'], { url: db.url });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(`"public"."users" has no column 'nome'`);
  });
});

describe('over a durable slot', () => {
  test('only printed events are acknowledged; others are printed the next time', async () => {
    const slot = await durableSlot('users:inserted');
    const first = startCli(['tail', 'users:inserted', '--slot', slot], { url: db.url });
    await following(first);
    const ids = [await insert('printed')];
    await first.says(/"event"/);
    first.child.stdout!.destroy(); // the closed pipe is noticed at the next event
    ids.push(await insert('unread'));
    expect(await first.ended).toMatchObject({ code: 0 });
    ids.push(await insert('written meanwhile'));
    const second = startCli(['tail', 'users:inserted', '--slot', slot], { url: db.url });
    await until(() => lines(second).length >= 2, { describe: () => `two lines in ${second.stdout()}` });
    second.child.kill('SIGINT');
    expect((await second.ended).code).toBe(0);
    expect(lines(second).map(({ event }) => event.id)).toEqual(ids.slice(1));
  });

  test('it does not create a slot, which would keep WAL forever', async () => {
    const slot = slotName();
    const { code, stderr } = await cli(['tail', 'users:inserted', '--slot', slot], { url: db.url });
    expect(code).toBe(1);
    expect(stderr).toContain(`the replication slot '${slot}' does not exist`);
    expect(await db.sql('select from pg_replication_slots where slot_name = $1', [slot])).toEqual([]);
  });

  test('it waits while a worker has the slot, whatever the configuration says', async () => {
    const slot = await durableSlot('users:inserted');
    const cwd = await folder({
      'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
        export default defineConfig({ slot: { name: 'other', takeover: 'terminate', onLost: 'recreate' }, watchers: defineWatchers([['users', 'inserted']]) });`,
    });
    const worker = startCli(['tail', 'users:inserted', '--slot', slot], { url: db.url });
    await following(worker);
    const waiting = startCli(['tail', '--slot', slot], { url: db.url, cwd });
    await waiting.says(/a worker has the slot \(process \d+\): waiting for it/);
    await insert('Grace');
    await worker.says(/"event"/);
    worker.child.kill('SIGINT');
    await following(waiting);
    expect(worker.stderr()).not.toContain('trying again'); // its session was not ended
    await insert('Ada');
    await waiting.says(/"event"/);
    waiting.child.kill('SIGINT');
    expect((await waiting.ended).code).toBe(0);
  });
});

test('`| head -1` ends it cleanly, without a message', async () => {
  const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  // Prints the exit code of tail on its own line of stderr.
  const pipe = `"$0" "${program}" tail users:inserted | head -1; echo "ended \${PIPESTATUS[0]}" >&2`;
  const child = spawn('bash', ['-c', pipe, process.execPath], { env: { ...process.env, DATABASE_URL: db.url } });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const closed = once(child, 'close');
  await until(() => stderr.includes('following'), { describe: () => `the start: ${stderr}` });
  // head may take a moment to exit after its line.
  await until(
    async () => {
      await insert('Ada');
      return stderr.includes('ended');
    },
    { describe: () => `the end: ${stderr}` },
  );
  await closed;
  expect(stdout.match(/\n/g)).toHaveLength(1);
  expect(stderr).toMatch(/^walwatch: following users:inserted over a temporary slot\nended 0\n$/);
});
