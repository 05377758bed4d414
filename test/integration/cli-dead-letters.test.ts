/** dead-letters: list, show and discard without the application, replay through its handlers. */
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { cli, type CliOptions, folder, onTerminal, startOnTerminal } from '../support/cli.ts';
import { useDatabase } from '../support/database.ts';
import { descriptor, emitted } from '../support/messaging.ts';
import { dropSlotAndPublication, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers([['users', 'inserted', { extraColumns: ['name'] }]]);
const onError = { attempts: 1, then: 'deadLetter' } as const;

let slot: string;
let options: CliOptions;
let ids: string[];

/** The handlers write their events to the table `calls`, and fail for names in the table `broken`. */
const config = (name: string, more: string) => `
  import { defineConfig, defineWatchers } from 'walwatch';
  import pg from 'pg';
  export default defineConfig({ slot: '${name}', watchers: defineWatchers([['users', 'inserted', { extraColumns: ['name'] }]]) });
  ${more}`;
const subscribe = `
  export function subscribe(watch) {
    watch.subscribe('users:inserted', async (event, { attempt, client }) => {
      const { rowCount } = await client.query('select from broken where name = $1', [event.name]);
      if (rowCount > 0) throw new Error('still broken');
      await client.query('insert into calls values ($1, $2)', [event.name, attempt]);
    }, { name: 'mailer', transaction: true });
  }`;

beforeEach(async () => {
  await db.sql('drop schema if exists walwatch cascade');
  await db.sql('drop table if exists calls, broken');
  await db.sql('create table calls (name text, attempt int); create table broken (name text)');
  slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  options = { url: db.url, cwd: await folder({ 'walwatch.config.mjs': config(slot, subscribe) }) };
});

/** Creates a dead letter for each name, whose transaction has an annotation. */
async function fail(...names: string[]): Promise<void> {
  const watch = watchOf(watchers, { slot });
  watch.subscribe('users:inserted', () => Promise.reject(new Error('no such \u001b[31mmailbox')), {
    name: 'mailer',
    onError,
  });
  await watch.start();
  const annotate = `select pg_logical_emit_message(true, 'walwatch:annotations', '{"actor":"user:7"}')`;
  for (const name of names) await db.sql(`${annotate}; insert into users (name) values ('${name}')`);
  await settled(db, watch);
  await watch.stop();
  ids = (await db.sql<{ id: string }>('select id from walwatch.dead_letters order by id')).map(({ id }) => id);
  expect(ids).toHaveLength(names.length);
}

const left = async () => (await db.sql('select id from walwatch.dead_letters order by id')).map((row) => row['id']);

test('list shows each letter with its error, show prints one in full, as text and as JSON', async () => {
  expect(await cli(['dead-letters', 'list'], options)).toMatchObject({ code: 0, stdout: 'No dead letters.\n' });
  expect(await cli(['dead-letters', 'list', '--json'], options)).toMatchObject({ code: 0, stdout: '[]\n' });
  await fail('Ada', 'Grace');
  const { code, stdout } = await cli(['dead-letters', 'list'], options);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    new RegExp(`^${ids[0]}  20\\S+Z  users:inserted → mailer  id \\d+, name Ada  1 attempt: Error: no such`),
  );
  expect(stdout).not.toContain('\u001b');
  const json = JSON.parse((await cli(['dead-letters', 'list', '--json'], options)).stdout);
  expect(json).toMatchObject([
    {
      id: ids[0],
      subscription: 'mailer',
      watcher: 'users:inserted',
      event: { name: 'Ada' },
      context: { annotations: { actor: 'user:7' } },
      attempts: 1,
      failedAt: expect.stringMatching(/Z$/),
    },
    { id: ids[1], event: { name: 'Grace' } },
  ]);
  const shown = await onTerminal(['dead-letters', 'show', ids[1]!], options);
  expect(shown.stdout).toMatch(/event id: [0-9A-F]+\/[0-9A-F]+\/0/);
  expect(shown.stdout).toContain('"annotations":{"actor":"user:7"}');
  expect(shown.stdout).toMatch(/error:\r?\n +Error: no such .*mailbox\r?\n +at /);
  expect(shown.stdout).not.toContain('\u001b[31m');
  // The slot is enough.
  expect((await cli(['dead-letters', 'list', '--slot', slot], { url: db.url })).stdout).toBe(stdout);
  const unknown = await cli(['dead-letters', 'show', ids[0]!, '999'], options);
  expect(unknown).toMatchObject({ code: 1, stderr: 'walwatch: dead letter 999 not found\n' });
  expect(await cli(['dead-letters', 'list', '--subscription', 'other'], options)).toMatchObject({
    stdout: 'No dead letters.\n',
  });
});

test('a letter of an outbox message shows its name, value and key, or its bytes if it cannot be read', async () => {
  const watch = watchOf(watchers, { slot });
  const placed = descriptor('order.placed');
  watch.onMessage(placed, () => Promise.reject(new Error('down')), { name: 'publisher', onError });
  await watch.start();
  for (const content of [emitted({ id: 7 }, '42'), emitted({ id: 8 }), 'no JSON'])
    await db.sql('select pg_logical_emit_message(true, $1, $2::text)', [placed.prefix, content]);
  await settled(db, watch);
  await watch.stop();
  const { stdout } = await cli(['dead-letters', 'list'], options);
  const [first, second, third] = stdout.split('\n');
  expect(first).toContain('message:order.placed → publisher  name order.placed, value {"id":7}, key 42  1 attempt');
  expect(second).toContain('name order.placed, value {"id":8}  1 attempt');
  expect(third).toContain(
    `prefix ${placed.prefix}, content ${Buffer.from('no JSON').toString('hex')}, transactional true`,
  );
  const letters = JSON.parse((await cli(['dead-letters', 'list', '--json'], options)).stdout) as { event: unknown }[];
  expect(letters.map(({ event }) => event)).toEqual([
    { name: 'order.placed', value: { id: 7 }, key: '42' },
    { name: 'order.placed', value: { id: 8 } },
    { prefix: placed.prefix, content: Buffer.from('no JSON').toString('hex'), transactional: 'true' },
  ]);
});

test('replay calls the handlers that the configuration exports, and exits with 1 if a letter fails again', async () => {
  await fail('Ada', 'Grace', 'Joan');
  await db.sql(`insert into broken values ('Grace')`);
  const one = await cli(['dead-letters', 'replay', ids[2]!], options);
  expect(one).toMatchObject({ code: 0, stdout: '1 replayed, 0 left.\n' });
  expect(await left()).toEqual(ids.slice(0, 2));
  const both = await cli(['dead-letters', 'replay', '--subscription', 'mailer', '--json'], options);
  expect(both.code).toBe(1);
  expect(JSON.parse(both.stdout)).toEqual({ count: 1, left: 1 });
  expect(await left()).toEqual([ids[1]]);
  const [failed] = JSON.parse((await cli(['dead-letters', 'list', '--json'], options)).stdout);
  expect(failed).toMatchObject({ attempts: 2, error: expect.stringContaining('still broken') });
  await db.sql('delete from broken');
  expect(await cli(['dead-letters', 'replay'], options)).toMatchObject({ code: 0, stdout: '1 replayed, 0 left.\n' });
  expect(await db.sql('select name, attempt from calls')).toEqual([
    { name: 'Joan', attempt: 2 },
    { name: 'Ada', attempt: 2 },
    { name: 'Grace', attempt: 3 },
  ]);
  expect(await cli(['dead-letters', 'replay'], options)).toMatchObject({ code: 0, stdout: 'No dead letters.\n' });
});

test('replay explains how to provide handlers if they are missing or have other names', async () => {
  await fail('Ada');
  const without = await cli(['dead-letters', 'replay'], {
    url: db.url,
    cwd: await folder({ 'walwatch.config.mjs': config(slot, '') }),
  });
  expect(without.code).toBe(2);
  expect(without.stderr).toMatch(
    /does not export 'subscribe'.*\n {2}Add export function subscribe\(watch\).*, or call watch\.deadLetters\.replay\(\) in the worker/,
  );
  const other = subscribe.replace(`'mailer'`, `'sender'`);
  const misnamed = await cli(['dead-letters', 'replay'], {
    url: db.url,
    cwd: await folder({ 'walwatch.config.mjs': config(slot, other) }),
  });
  expect(misnamed.code).toBe(1);
  expect(misnamed.stderr).toContain(`no subscription 'mailer' exists`);
  expect(await left()).toEqual(ids);
});

test('discard asks, and removes exactly the letters that it has shown', async () => {
  await fail('Ada', 'Grace', 'Joan');
  const piped = await cli(['dead-letters', 'discard', ids[0]!], options);
  expect(piped).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('confirmation needs a terminal; nothing was changed'),
  });
  const refused = startOnTerminal(['dead-letters', 'discard', ids[0]!], options);
  await refused.says(/Discard 1\? \[y\/N\]/);
  refused.type('n\n');
  expect((await refused.ended).code).toBe(1);
  expect(await left()).toEqual(ids);
  const accepted = startOnTerminal(['dead-letters', 'discard', ids[0]!], options);
  await accepted.says(/Discard 1\? \[y\/N\]/);
  accepted.type('y\n');
  expect(await accepted.ended).toMatchObject({ code: 0, stdout: expect.stringContaining('1 discarded, 2 left.') });
  expect(await left()).toEqual(ids.slice(1));
  const rest = await cli(['dead-letters', 'discard', '--watcher', 'users:inserted', '--yes', '--json'], options);
  expect({ code: rest.code, ...JSON.parse(rest.stdout) }).toEqual({ code: 0, count: 2, left: 0 });
  expect(await cli(['dead-letters', 'discard', '--all', '--yes'], options)).toMatchObject({
    stdout: '0 discarded, 0 left.\n',
  });
});
