/** Errors and help that need no database. */
import { describe, expect, test } from 'vitest';
import { cli, folder, isColoured, onTerminal } from '../support/cli.ts';

const commands = ['doctor', 'setup', 'teardown', 'status', 'tail', 'dead-letters'];
const secret = 'S3cret-Pass';
/** No server listens there. */
const url = `postgres://worker:${secret}@127.0.0.1:1/accounts`;
const config = (options: string) =>
  `import { defineConfig, defineWatchers } from 'walwatch';
   const watchers = defineWatchers([['users', 'updated']]);
   export default defineConfig({ ${options} });`;

describe('help', () => {
  test('lists the commands, and shows flags, exit codes and examples of each', async () => {
    const overview = await cli(['--help']);
    expect(overview).toMatchObject({ code: 0, stderr: '' });
    for (const command of commands) {
      expect(overview.stdout).toContain(`  ${command} `);
      const { code, stdout, stderr } = await cli([command, '--help']);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      for (const part of ['Usage: walwatch', '--config', 'Exit codes: 0', `\nExamples:\n  walwatch ${command}`])
        expect(stdout).toContain(part);
    }
    expect((await cli(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('wrong usage exits with 2 and shows the correct usage', () => {
  test.each([
    [[], 'a command is missing'],
    [['diagnose'], "unknown command 'diagnose'"],
    [['constructor'], "unknown command 'constructor'"],
    [['docter'], "unknown command 'docter'\n  Did you mean 'doctor'?"],
    [['doctor', '--colour'], "Unknown option '--colour'\n  Options: --config, --slot"],
    [['doctor', '--column', 'a'], "Unknown option '--column'\n  Did you mean --columns?"],
    [['status', '--slot'], "Option '--slot <value>' argument missing\n"],
    [['status', 'users:updated', '--slot', 'x'], "unexpected argument 'users:updated'"],
    [['status'], 'no replication slot is configured'],
    [['status', '--slot', 'x', '--interval', 'soon'], "invalid --interval 'soon'; expected a number of seconds"],
    [['setup', '--slot', 'x'], 'setup needs watchers'],
    [['setup', 'users:updated'], 'no replication slot is configured'],
    [['setup', 'users:changed', '--slot', 'x'], 'watcher 0: unknown update type "changed"'],
    [['setup', 'users:updated', '--slot', 'Not a Name'], '"Not a Name" is not a valid name for a replication slot'],
    [['tail'], 'tail needs a watcher'],
    [['tail', 'role_changed'], "unknown watcher 'role_changed'"],
    [['dead-letters', '--slot', 'x'], 'dead-letters needs an action'],
    [['dead-letters', 'burn', '--slot', 'x'], "unknown action 'dead-letters burn'"],
    [['dead-letters', 'show', 'seven', '--slot', 'x'], "invalid id 'seven'; expected a number"],
    [['dead-letters', 'show', '--slot', 'x'], 'dead-letters show needs the id of a letter'],
    [['dead-letters', 'discard', '--slot', 'x'], 'dead-letters discard needs to know which letters'],
    [['dead-letters', 'replay', '--slot', 'x'], 'no configuration file was found'],
  ] as const)('%j', async (args, message) => {
    const { code, stdout, stderr } = await cli(args, { url });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(`walwatch: ${message}`);
  });
});

describe('configuration files', () => {
  test.each([
    ['that do not exist', {}, ['--config', 'other.mjs'], 'the configuration file other.mjs does not exist'],
    ['with a syntax error', { 'walwatch.config.mjs': 'export default {' }, [], 'walwatch.config.mjs cannot be loaded: Unexpected'],
    ['that throw', { 'walwatch.config.js': `throw new Error('no ${url} today')` }, [], 'no postgres://worker:***@127.0.0.1:1/accounts today'],
    ['without a default export', { 'walwatch.config.mjs': 'export const slot = 1' }, [], 'the default export of walwatch.config.mjs is not a configuration'],
    ['with wrong options', { 'walwatch.config.mjs': config(`slot: 'A B', watchers, mange: 'verify'`) }, [], /unknown option 'mange'[^]*"A B" is not a valid name/],
    ['with wrong watchers', { 'walwatch.config.mjs': config(`slot: 'a', watchers: { entries: [['users', 'gone']] }`) }, [], 'unknown update type "gone"'],
    ['with import in a package of CommonJS', { 'package.json': '{ "type": "commonjs" }', 'walwatch.config.js': config(`slot: 'a', watchers`) }, [], 'Rename it to walwatch.config.mjs, or add "type": "module"'],
    ['with require in a package of modules', { 'package.json': '{ "type": "module" }', 'walwatch.config.js': `module.exports = require('walwatch')` }, [], 'Rename it to walwatch.config.cjs'],
    ['that import a file without its extension', { 'watchers.mjs': '', 'walwatch.config.mjs': `import './watchers';` }, [], 'Node needs the file extension in an import'],
    ['whose subscribe is not a function', { 'walwatch.config.mjs': `${config(`slot: 'a', watchers`)} export const subscribe = 1;` }, [], "'subscribe' of walwatch.config.mjs is not a function"],
  ] as const)('%s exit with 2', async (_, files, flags, message) => {
    const cwd = await folder(files);
    const { code, stdout, stderr } = await cli(['status', ...flags], { cwd, url });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    if (typeof message === 'string') expect(stderr).toContain(message);
    else expect(stderr).toMatch(message);
    expect(stderr).not.toContain(secret);
  }); // prettier-ignore

  test('are found by their names, and flags override them', async () => {
    for (const name of ['walwatch.config.js', 'walwatch.config.mjs']) {
      const cwd = await folder({ [name]: config(`slot: 'from_file', watchers, connection: '${url}'`) });
      const { stdout } = await cli(['doctor', '--json'], { cwd });
      expect(JSON.parse(stdout).checks[0].found).toContain('127.0.0.1:1, database accounts, role worker');
    }
  });

  test('in CommonJS are loaded, also as a compiler writes them, and with subscribe among the options', async () => {
    const own = `slot: 'from_file', watchers: { entries: [['users', 'updated']] }, connection: '${url}'`;
    const subscribe = `function subscribe() { throw new Error('it was called'); }`;
    for (const file of [
      `module.exports = { ${own} }; module.exports.subscribe = ${subscribe};`,
      `Object.defineProperty(exports, '__esModule', { value: true }); exports.subscribe = ${subscribe}; exports.default = { ${own} };`,
    ]) {
      const cwd = await folder({ 'walwatch.config.cjs': file });
      const { stdout } = await cli(['doctor', '--json'], { cwd });
      expect(JSON.parse(stdout).checks[0].found).toContain('127.0.0.1:1, database accounts, role worker');
      const replayed = await cli(['dead-letters', 'replay'], { cwd });
      expect(replayed.stderr).toContain('ECONNREFUSED'); // not: does not export 'subscribe'
    }
  });

  test('in TypeScript are loaded if Node can, otherwise the error has a solution', async () => {
    const cwd = await folder({ 'walwatch.config.ts': `${config(`slot: 'a' as string, watchers`)}` });
    const { code, stderr } = await cli(['status'], { cwd, url });
    const loads = Boolean((process.features as { typescript?: unknown }).typescript);
    expect(code).toBe(loads ? 1 : 2);
    expect(stderr).toContain(loads ? 'ECONNREFUSED' : 'cannot load TypeScript without a loader\n  Use Node 22.18');
  });
});

describe('an unreachable server', () => {
  test('is one ✗ of the doctor with a fix, and no password anywhere', async () => {
    const { code, stdout, stderr } = await cli(['doctor', 'users:updated', '--slot', 'a'], { url });
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(stdout.match(/^✗ /gm)).toHaveLength(2); // the check and the summary
    expect(stdout).toMatch(/^✗ connection: 127\.0\.0\.1:1, database accounts, role worker: .*ECONNREFUSED/);
    expect(stdout).toMatch(/why: .+\n {4}fix: Check host and port/);
    expect(stdout).not.toContain(secret);
  });

  test.each([
    ['status', '--slot', 'a'],
    ['setup', 'users:updated', '--slot', 'a', '--yes'],
    ['teardown', '--slot', 'a', '--yes'],
    ['dead-letters', 'list', '--slot', 'a'],
    ['tail', 'users:updated'],
    ['status', '--slot', 'a', '--watch'],
  ])('makes %s exit with 1 and a message without password', async (...args) => {
    const { code, stdout, stderr } = await cli(args, { url });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /^walwatch: CONNECTION: .*ECONNREFUSED.*\n {2}Check host and port.*\nSee walwatch\/docs\/reference\/errors\.md#connection\n$/s,
    );
    expect(stderr).not.toContain(secret);
  });

  test('is explained if no server is configured', async () => {
    const { stdout } = await cli(['doctor'], { env: { PGPORT: '1' } });
    expect(stdout).toContain('No server is configured: set DATABASE_URL');
  });
});

describe('non-ASCII characters', () => {
  test('are for terminals whose locale supports them, and for pipes', async () => {
    const shown = async (LANG: string) => (await onTerminal(['doctor'], { url, env: { LANG } })).stdout;
    expect(await shown('en_US.UTF-8')).toContain('✗');
    expect(await shown('C')).toMatch(/^[\u0000-\u007f]*$/); // oxlint-disable-line no-control-regex
    expect((await cli(['doctor'], { url, env: { LANG: 'C' } })).stdout).toContain('✗');
  });
});

describe('colours', () => {
  test('are used with FORCE_COLOR, and not on a terminal without colours', async () => {
    expect(isColoured((await cli(['doctor'], { url, env: { FORCE_COLOR: '1' } })).stdout)).toBe(true);
    expect(isColoured((await cli(['doctor', '--json'], { url, env: { FORCE_COLOR: '1' } })).stdout)).toBe(false);
    expect(isColoured((await onTerminal(['doctor'], { url, env: { FORCE_COLOR: '0' } })).stdout)).toBe(false);
    expect(isColoured((await onTerminal(['doctor'], { url, env: { TERM: 'dumb' } })).stdout)).toBe(false);
  });

  test('are only for terminals, and not with NO_COLOR', async () => {
    expect(isColoured((await cli(['doctor'], { url })).stdout)).toBe(false);
    expect(isColoured((await onTerminal(['doctor'], { url })).stdout)).toBe(true);
    expect(isColoured((await onTerminal(['doctor'], { url, env: { NO_COLOR: '1' } })).stdout)).toBe(false);
    expect(isColoured((await onTerminal(['doctor', '--json'], { url })).stdout)).toBe(false);
  });
});
