/** Logs and terminal output never contain the password, whatever form the connection has. */
import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ConfigurationError, type ConfigurationIssue, WatchError } from '../../src/errors.ts';
import { resolveOptions } from '../../src/options.ts';
import { resolveConnection } from '../../src/postgres/connection-config.ts';
import { redact, secretsOf } from '../../src/redaction.ts';
import { cli, folder } from '../support/cli.ts';

beforeEach(() => {
  for (const name of ['PGHOST', 'PGUSER', 'PGDATABASE', 'DATABASE_URL']) vi.stubEnv(name, undefined);
});
afterEach(() => void vi.unstubAllEnvs());

/** Parts of passwords with a special meaning in some form of a connection. None occurs in a text of walwatch. */
const part = fc.constantFrom(
  '@', ' ', ':', '/', '//', '?', '#', '&', '=', '%', '%zz', "'", '"', '\\', ',', ';', '[', ']', '{', '$', '12', 'x=y', 'é', '🔑', '://', ' host=',
); // prettier-ignore
const word = fc.stringMatching(/^[xqzXQZ789]{4,8}$/);
/** Begins and ends with a word that must not be found, so that parts of the password are not found either. */
const passwords = fc.tuple(word, fc.array(part, { maxLength: 4 }), word).map(([first, parts, last]) => ({
  text: `${first}${parts.join('')}${last}`, words: [first, last],
})); // prettier-ignore

const encode = encodeURIComponent;
const forms: Readonly<Record<string, (password: string) => string>> = {
  'a URL': (p) => `postgres://ann:${encode(p)}@127.0.0.1:1/shop`,
  'a URL without escapes': (p) => `postgres://ann:${p}@127.0.0.1:1/shop`,
  'a URL without a scheme': (p) => `//ann:${p}@127.0.0.1:1/shop`,
  'a URL with three slashes': (p) => `postgres:///ann:${p}@127.0.0.1:1/shop`,
  'a path': (p) => `/ann:${p}@127.0.0.1:1/shop`,
  'user and host': (p) => `ann:${p}@127.0.0.1:1/shop`,
  'a socket': (p) => `socket:ann:${p}@127.0.0.1/shop`,
  'another scheme': (p) => `jdbc:postgresql://ann:${p}@127.0.0.1:1/shop`,
  'a parameter': (p) => `postgres://ann@127.0.0.1:1/shop?password=${encode(p)}`,
  'a parameter without escapes': (p) => `postgres://ann@127.0.0.1:1/shop?password=${p}`,
  'the password of a key': (p) => `postgres://ann@127.0.0.1:1/shop?sslmode=disable&sslpassword=${encode(p)}`,
  'the same without escapes': (p) => `postgres://ann@127.0.0.1:1/shop?sslpassword=${p}`,
  keywords: (p) => `host=127.0.0.1 port=1 user=ann password=${p} dbname=shop`,
  'quoted keywords': (p) => `host=127.0.0.1 password = '${p.replaceAll(/['\\]/g, '\\$&')}' dbname=shop`,
  'keywords with the password of a key': (p) => `host=127.0.0.1 sslpassword=${p}`,
};

/** Looks like the beginning of another URL. */
const found = { text: 'zxzx;12://989X', words: ['zxzx', '989X'] };

const bare = new Set([forms['a path'], forms['user and host'], forms['a socket']]);

const said = (thing: unknown) => inspect(thing, { depth: 10, showHidden: true, maxStringLength: null });

function expectNone(text: string, { text: password, words }: { text: string; words: readonly string[] }): void {
  for (const one of [password, encode(password), ...words]) expect(text).not.toContain(one);
}

describe.each(Object.entries(forms))('in %s', (_, form) => {
  const check = (property: (password: { text: string; words: string[] }) => void) =>
    fc.assert(fc.property(passwords, property), { numRuns: 200, examples: [[found]] });

  test('no error about an option shows it, whichever option contains it', () => {
    check((password) => {
      const url = form(password.text);
      const options = [
        { connection: url }, { connection: { connectionString: url } }, { connection: { host: url } },
        { connection: { host: '127.0.0.1', database: url } }, { slot: url }, { publication: { name: url.padEnd(70) } },
        { manage: url }, { onError: url }, { logger: url },
      ]; // prettier-ignore
      for (const one of options) {
        try {
          resolveOptions({ slot: 'a', watchers: { entries: [] }, ...one } as never);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigurationError);
          expectNone(said(error), password);
        }
      }
    });
  });

  test('an accepted connection uses it as the password, and no output shows it', () => {
    check((password) => {
      const issues: ConfigurationIssue[] = [];
      const { host, port, user, database, application_name: name } = resolveConnection(form(password.text), issues);
      expectNone(said(issues.length > 0 ? issues : { host, port, user, database, name }), password);
    });
  });

  test('no error of walwatch repeats it from the message of another error', () => {
    check((password) => {
      const url = form(password.text);
      for (const text of [url, `cannot reach ${url}`, `first line\ncannot reach "${url}"`, `${url}\nsecond line`]) {
        // Without a scheme, the beginning of a password with spaces cannot be found in a text.
        if (!bare.has(form) || !password.text.includes(' ')) {
          expectNone(new WatchError('CONNECTION', text).message, password);
        }
        expectNone(redact(text, secretsOf(url)), password);
      }
    });
  });
});

test('a known password is not repeated without its connection either', () => {
  fc.assert(
    fc.property(passwords, (password) => {
      for (const form of ['a URL', 'quoted keywords', 'a parameter'] as const) {
        const known = secretsOf(forms[form]!(password.text));
        expect(redact(`invalid value '${password.text}'`, known)).not.toContain(password.text);
      }
    }),
  );
});

test('a text without secrets is not changed', () => {
  for (const text of [
    'cannot reach postgres://db.internal:5432/shop, or postgres://ann@db/shop',
    'http://127.0.0.1:8080/path, https://[::1]:5432/x and file:///etc/passwd',
    "users:updated of 'ann@example.org': the password of connection is wrong",
    'Expected postgres://user:password@host:5432/database',
    'connect ECONNREFUSED 127.0.0.1:1',
  ]) {
    expect(redact(text)).toBe(text);
  }
  expect(redact('postgres://a:x@h/d, or amqp://b:y@i')).toBe('postgres://a:***@h/d, or amqp://b:***@i');
});

test('the time for a hostile text grows only linearly with its length', () => {
  const hostile = [
    '//',
    '//a:',
    'a:',
    "password='",
    'x://a:@',
    '//\n',
    "pwd='\n",
    ' a://b@',
    '@',
    ':',
    '\\',
    '"password":"',
  ];
  // Milliseconds if it is linear; hours, so that the test times out, if it is not.
  for (const one of hostile) redact(one.repeat(200_000), ['hunter2']);
  for (const one of hostile) expect(redact(`${one.repeat(200_000)}@`, ['hunter2'])).not.toContain('hunter2');
});

describe('the command line', () => {
  const secret = "hunt r/2@x'#7";
  const hidden = ['hunt r', 'r/2@', encode(secret)];
  const config = (body: string) => ({ 'walwatch.config.mjs': body });
  const valid = `export default { slot: 'a', watchers: { entries: [['users', 'updated']] } };`;

  test.each(Object.entries(forms))(
    'shows a password of DATABASE_URL neither in the doctor nor in an error: %s',
    async (_, form) => {
      const url = form(secret);
      for (const args of [
        ['doctor', '--slot', 'a'],
        ['status', '--slot', 'a'],
        ['doctor', '--json'],
      ]) {
        const { stdout, stderr, code } = await cli(args, { url });
        expect(code).not.toBe(0);
        for (const one of hidden) expect(stdout + stderr).not.toContain(one);
      }
    },
  );

  test.each(['PGHOST', 'PGDATABASE', 'PGUSER'])('does not show a password in %s either', async (name) => {
    const { stdout, stderr } = await cli(['doctor'], {
      env: { PGHOST: '127.0.0.1', PGPORT: '1', [name]: `postgres://ann:${secret}@127.0.0.1/shop` },
    });
    for (const one of hidden) expect(stdout + stderr).not.toContain(one);
  });

  const url = `postgres://ann:${secret}@127.0.0.1:1/shop`;
  test.each([
    ['throws it', `throw new Error(${JSON.stringify(`no ${url}`)});`],
    ['throws a string', `throw ${JSON.stringify(`no ${url}`)};`],
    ['throws nothing', `throw undefined;`],
    ['throws an object that cannot be converted to a string', `throw { toString() { throw new Error(${JSON.stringify(url)}); }, url: ${JSON.stringify(url)} };`],
    ['has an unhandled rejected promise', `Promise.reject(new Error(${JSON.stringify(url)})); await new Promise((r) => setTimeout(r, 1000)); ${valid}`],
    ['fails later', `setTimeout(() => { throw Object.assign(new Error(${JSON.stringify(url)}), { url: ${JSON.stringify(url)} }); }); await new Promise((r) => setTimeout(r, 1000)); ${valid}`],
    ['has a syntax error', `const url = ${url};`],
    ['has a getter that throws', `export default { slot: 'a', get connection() { throw new Error(${JSON.stringify(url)}); } };`],
    ['uses it as the slot', `export default { slot: ${JSON.stringify(url)}, watchers: { entries: [] } };`],
    ['has it as an object', `export default { slot: 'a', watchers: { entries: [] }, connection: { host: '127.0.0.1', port: 1, password: ${JSON.stringify(secret)} } };`],
  ])('does not show a password of a configuration file that %s', async (_, text) => {
    const { stdout, stderr, code } = await cli(['status'], { cwd: await folder(config(text)) });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^walwatch: /);
    for (const one of hidden) expect(stdout + stderr).not.toContain(one);
  }); // prettier-ignore
});
