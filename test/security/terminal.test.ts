/** Hostile names, comments and values neither control the terminal nor become SQL in a script. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import fc from 'fast-check';
import pg from 'pg';
import { beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers, table } from '../../src/index.ts';
import { isPlain, oneLine, printable } from '../../src/printable.ts';
import { quoteIdentifier, quoteLiteral } from '../../src/postgres/server.ts';
import { cli, folder, onTerminal, startCli } from '../support/cli.ts';
import { useDatabase } from '../support/database.ts';
import { dropSlotAndPublication, settled, slotName } from '../support/watching.ts';

const db = useDatabase();
/** Clears the screen, sets the title, starts a new line, uses 8-bit controls, and switches to right-to-left. */
const hostile = 'x\u001b[2J\u001b]0;owned\u0007\n\\! touch /tmp/owned\r✓ all: well\u009b31m\u202e"\'\\';
const short = '\u001b[2J\n\\! id\u009b\u202e"\'\\';

function expectHarmless(text: string): void {
  // oxlint-disable-next-line no-control-regex
  const rest = text.replaceAll(/\u001b\[(\d+m|H|J)/g, '').replaceAll(/[\n\t]/g, ''); // our own
  expect([rest, isPlain(rest)]).toEqual([rest, true]);
  expect(text).not.toMatch(/^\s?(\\!|✓ all: well)/m);
}

const config = (slot: string, more = '') =>
  folder({
    'walwatch.config.mjs': `import { defineConfig, defineWatchers, table } from 'walwatch';
      const name = ${JSON.stringify(short)};
      const hostile = table()({ tableName: name, schema: 'public', primaryKey: name });
      export default defineConfig({ slot: '${slot}', publication: name, watchers: defineWatchers([
        [hostile, 'inserted', { label: name.replaceAll(':', ''), extraColumns: [name + 'c'] }],
        [hostile, 'updated', { label: 'up' + name, triggerColumns: [name + 'c'] }],
      ]) });
      ${more}`,
  });

beforeAll(async () => {
  const column = pg.escapeIdentifier(`${short}c`);
  const name = pg.escapeIdentifier(short);
  await db.sql(`create table ${name} (${name} int primary key, ${column} text)`);
});

test(
  'setup, doctor, status, tail, dead-letters and teardown write no foreign control characters, as text and as JSON',
  { timeout: 120_000 },
  async () => {
    const slot = slotName();
    onTestFinished(() => dropSlotAndPublication(db, slot));
    onTestFinished(() => db.sql(`drop publication if exists ${pg.escapeIdentifier(short)}`).then(() => {}));
    const label = short.replaceAll(':', '');
    const handler = `export function subscribe(watch) {
    watch.subscribe(${JSON.stringify(label)}, () => { throw new Error(${JSON.stringify(hostile)}); }, { name: ${JSON.stringify(short)}, onError: { attempts: 1, then: 'deadLetter' } });
  }`;
    const options = { url: db.url, cwd: await config(slot, handler) };
    const all = async (...args: string[]) => {
      const inPipe = await cli(args, options);
      expectHarmless(inPipe.stdout);
      expectHarmless(inPipe.stderr);
      if (args.includes('--json')) JSON.parse(inPipe.stdout);
      else expectHarmless((await onTerminal(args, options)).stdout.replaceAll('\r\n', '\n'));
      return inPipe;
    };
    await all('doctor');
    const json = await all('doctor', '--json');
    expect(JSON.parse(json.stdout).checks.length).toBeGreaterThan(5);
    await all('setup', '--print');
    expect(await all('setup', '--yes')).toMatchObject({ code: 0 });

    const { default: own } = (await import(`${options.cwd}/walwatch.config.mjs`)) as { default: any };
    const watch = createWatch<any>({ ...own, connection: db.url });
    watch.subscribe(label, () => Promise.reject(new Error(hostile)), {
      name: short,
      onError: { attempts: 1, then: 'deadLetter' },
    });
    await watch.start();
    await db.sql(`insert into ${pg.escapeIdentifier(short)} values (1, $1)`, [hostile]);
    await settled(db, watch);
    await watch.stop();
    await db.sql(`insert into ${pg.escapeIdentifier(short)} values (2, $1)`, [hostile]);
    await all('status');
    await all('status', '--json');
    await all('dead-letters', 'list');
    const [letter] = JSON.parse((await all('dead-letters', 'list', '--json')).stdout);
    expect(letter).toMatchObject({ subscription: short, event: { [`${short}c`]: hostile } });
    await all('dead-letters', 'show', letter.id);
    await all('dead-letters', 'replay');

    const following = startCli(['tail', label], options);
    await following.says(/following/);
    await db.sql(`insert into ${pg.escapeIdentifier(short)} values (3, $1)`, [hostile]);
    await following.says(/eventId/);
    following.child.kill('SIGINT');
    const { stdout, stderr } = await following.ended;
    expectHarmless(stdout);
    expectHarmless(stderr);
    expect(JSON.parse(stdout.trim()).event[`${short}c`]).toBe(hostile);

    const publication = pg.escapeIdentifier(short);
    await db.sql(`comment on publication ${publication} is ${pg.escapeLiteral(`${hostile}\nwalwatch: {}`)}`);
    await all('teardown', '--print', '--force');
    await all('teardown', '--yes', '--force');
  },
);

test('a hostile error of the server or a file is harmless, and its lines do not look like lines of walwatch', async () => {
  const thrown = await cli(['status'], {
    url: db.url,
    cwd: await folder({ 'walwatch.config.mjs': `throw new Error(${JSON.stringify(hostile)});` }),
  });
  expectHarmless(thrown.stderr);
  expectHarmless((await cli(['tail', `users:updated`, '--where', `${hostile} = 1`], { url: db.url })).stderr);
  expectHarmless((await cli([hostile], { url: db.url })).stderr);
  expectHarmless((await cli(['status', '--slot', hostile], { url: db.url })).stderr);
  await db.sql(
    `create function planted() returns event_trigger language plpgsql as $$ begin raise exception '%', ${pg.escapeLiteral(hostile)}; end $$`,
  );
  await db.sql(
    `create event trigger planted on ddl_command_start when tag in ('CREATE PUBLICATION') execute function planted()`,
  );
  onTestFinished(() => db.sql('drop event trigger planted; drop function planted').then(() => {}));
  const refused = await cli(['setup', 'users:inserted', '--slot', slotName(), '--yes'], { url: db.url });
  expect(refused.code).toBe(1);
  expectHarmless(refused.stderr);
});

const psql = '/usr/bin/psql';

test.skipIf(!existsSync(psql))(
  'the output of setup and teardown works in psql and runs no injected command',
  async () => {
    const slot = slotName();
    const publication = pg.escapeIdentifier(short);
    onTestFinished(() => dropSlotAndPublication(db, slot));
    onTestFinished(() => db.sql(`drop publication if exists ${publication}`).then(() => {}));
    const options = { url: db.url, cwd: await config(slot) };
    const mark = `/tmp/walwatch-owned-${slot}`;
    await db.sql(`comment on table ${publication} is ${pg.escapeLiteral(`x\n\\! touch ${mark}`)}`);
    for (const command of ['setup', 'teardown']) {
      const { stdout, code } = await cli([command, '--print'], options);
      expect(code).toBe(0);
      const run = promisify(execFile)(psql, ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', db.url]);
      run.child.stdin!.end(stdout);
      await run;
      if (command === 'setup') {
        const [made] = await db.sql(`select count(*)::int as n from pg_publication_tables where pubname = $1`, [short]);
        expect(made).toEqual({ n: 1 });
        const verified = createWatch<any>({
        connection: db.url, slot, publication: short, manage: 'verify',
        watchers: defineWatchers([[table<any>()({ tableName: short, schema: 'public', primaryKey: short }), 'inserted', { label: 'in' }]] as never),
      }); // prettier-ignore
        await verified.start();
        await verified.stop();
      }
    }
    expect(await db.sql('select from pg_publication where pubname = $1', [short])).toEqual([]);
    expect(existsSync(mark)).toBe(false);
  },
);

test.skipIf(inject('server').version < 15)('a row filter that escapes would change is not printed', async () => {
  const args = ['setup', 'users:inserted', '--slot', slotName(), '--where', `name = '\u001b[2J'`];
  const { code, stdout, stderr } = await cli([...args, '--print'], { url: db.url });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain('control characters');
});

test('PostgreSQL reads every printed name or text as the original, and it is on one line', async () => {
  const anything = fc.string({
    unit: fc.constantFrom(
      '\u001b',
      '\n',
      '\r',
      '\t',
      '\u0085',
      '\u009b',
      '\u202e',
      '\u2028',
      '"',
      "'",
      '\\',
      '0041',
      'u',
      '+',
      'é',
      '🔑',
      ' ',
      '--',
      '/*',
    ),
    minLength: 1,
    maxLength: 12,
  });
  const client = await db.client();
  for (const path of ['on', 'off']) {
    await client.query(
      `set standard_conforming_strings = ${path}; set backslash_quote = safe_encoding; set escape_string_warning = off`,
    );
    await fc.assert(
      fc.asyncProperty(anything, async (text) => {
        const [identifier, literal] = [quoteIdentifier(text), quoteLiteral(text)];
        expect(isPlain(identifier + literal)).toBe(true);
        const { rows } = await client.query(`select ${literal} as ${identifier}`);
        const cut = Buffer.from(text)
          .subarray(0, 63)
          .toString()
          .replace(/\ufffd+$/, '');
        expect(Object.entries(rows[0])).toEqual([[expect.stringContaining(cut.slice(0, 10)), text]]);
      }),
      { numRuns: 200 },
    );
  }
});

test('escapes in JSON represent the same characters', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(JSON.parse(printable(JSON.stringify(text)))).toBe(text);
      expect(isPlain(oneLine(text))).toBe(true);
    }),
  );
});
