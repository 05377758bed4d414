/** Problems with `connection` that are visible without connecting: they are reported at once and never show a secret. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { ConfigurationError, type ConfigurationIssue } from '../../../src/errors.ts';
import { resolveConnection } from '../../../src/postgres/connection-config.ts';
import { urlOfKeywords } from '../../../src/postgres/keyword-dsn.ts';
import { selfSigned } from '../../support/certificate.ts';

beforeEach(() => void vi.stubEnv('PGHOST', undefined));
afterEach(() => void vi.unstubAllEnvs());

/** Checks the connection as a URL and as a URL among other settings, and that no text contains the password. */
function issuesOf(connection: unknown): ConfigurationIssue[] {
  const issues: ConfigurationIssue[] = [];
  resolveConnection(connection, issues);
  if (typeof connection === 'string') {
    const among: ConfigurationIssue[] = [];
    resolveConnection({ connectionString: connection }, among);
    expect(among).toEqual(issues);
  }
  const { message, stack, solution } = new ConfigurationError(issues);
  expect(JSON.stringify({ message, stack, solution, issues })).not.toContain('hunter2');
  return issues;
}

test.each([
  'postgres://ann:hunter2@db:5432/shop',
  'postgresql://db/shop?sslmode=verify-full',
  'POSTGRES://db/shop',
  'postgres:///shop?host=/var/run/postgresql',
  'postgres://ann:hunter2@%2Fvar%2Frun%2Fpostgresql/shop',
  'postgres://ann:hunter2,@db/shop',
  'postgres://ann:hunter2%@db/shop',
  'postgres://[::1]:5432/shop',
  'socket:/var/run/postgresql?db=shop',
  '/var/run/postgresql shop',
  '',
  {},
  { host: '/tmp/a,b', password: 'hunter2' },
])('accepted: %j', (connection) => {
  expect(issuesOf(connection)).toEqual([]);
});

test.each([
  ['localhost:5432/db', 'connection does not begin with postgres://, but with "localhost:"'],
  ['ann:hunter2@db:5432/shop', 'connection does not begin with postgres://, but with "ann:"'],
  ['mysql://ann:hunter2@db/shop', 'connection does not begin with postgres://, but with "mysql:"'],
  ['postgres:ann:hunter2@db/shop', 'connection does not begin with postgres://, but with "postgres:"'],
  ['db/shop', 'connection does not begin with postgres://'],
  ['//ann:hunter2@db/shop', 'connection does not begin with postgres://'],
])('a URL of another kind is refused, because it would lead to another host: %s', (connection, message) => {
  expect(issuesOf(connection)).toEqual([
    { message, solution: expect.stringContaining('postgres://user:password@host') },
  ]);
});

test.each([
  'postgres://ann:hunter2@db:notaport/shop',
  'postgres://ann:hunter2@[db',
  'postgres://ann:x,hunter2/y@db/shop',
])('a URL that cannot be parsed is refused, with a hint about special characters: %s', (connection) => {
  expect(issuesOf(connection)).toEqual([
    {
      message: 'connection is not a URL that node-postgres can read',
      solution: expect.stringContaining('encodeURIComponent'),
    },
  ]);
});

test.each([
  ['postgres://ann:hunter2@a,b:5432/shop', '"a,b:5432"'],
  ['postgres://ann:hunter2@a:5432,b:5433/shop', '"a:5432,b:5433"'],
  ['postgres://ann:hunter2@db/shop?host=a,b', '"a,b"'],
  [{ host: 'a,b', password: 'hunter2' }, '"a,b"'],
])('several hosts are refused by name: %j', (connection, hosts) => {
  expect(issuesOf(connection)).toEqual([
    {
      message: `connection names several hosts: ${hosts}; walwatch connects to one`,
      solution: expect.stringContaining('primary'),
    },
  ]);
});

test('several hosts in PGHOST are refused, too', () => {
  vi.stubEnv('PGHOST', 'a,b');
  expect(issuesOf({})).toHaveLength(1);
  expect(issuesOf({ host: 'db' })).toEqual([]);
});

describe('keywords and values, as in libpq,', () => {
  test('are refused, and the solution is the URL to write instead', () => {
    expect(issuesOf('host=db port=5433 dbname=shop user=ann password=hunter2')).toEqual([
      {
        message: expect.stringContaining('keywords and values'),
        solution: 'Write it as a URL: postgres://ann:PASSWORD@db:5433/shop',
      },
    ]);
    expect(issuesOf("dbname = shop password = 'hunter2")[0]!.solution).toContain('postgres://user:password@host');
  });

  test.each([
    ['dbname=shop', 'postgres:///shop'],
    ["host = db dbname = 'my shop' user='o\\'neil'", `postgres://${encodeURIComponent("o'neil")}@db/my%20shop`],
    ['host=/var/run/postgresql user=ann', 'postgres://ann@%2Fvar%2Frun%2Fpostgresql/'],
    [
      'host=db sslmode=verify-full sslrootcert=/etc/ca.pem sslpassword=hunter2',
      'postgres://db/?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem',
    ],
    ['host=db junk', undefined],
    ["host='db", undefined],
  ])('%s becomes %s', (text, url) => {
    expect(urlOfKeywords(text)).toBe(url);
  });
});

describe('the files of a URL are refused', () => {
  const written = (content: string) => {
    const directory = mkdtempSync(join(tmpdir(), 'walwatch-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = join(directory, 'file.pem');
    writeFileSync(path, content);
    return path;
  };

  test.each(['sslrootcert', 'sslcert', 'sslkey'])('if they cannot be read: %s', (name) => {
    for (const [path, code] of [['/none/such.pem', 'ENOENT'], [tmpdir(), 'EISDIR']] as const) {
      expect(issuesOf(`postgres://ann:hunter2@db/shop?${name}=${path}`)).toEqual([
        {
          message: `the file of ${name} in connection cannot be read: ${code}`,
          solution: expect.stringContaining('is allowed to read it'),
        },
      ]);
    } // prettier-ignore
  });

  test('if they contain no certificate or no key', () => {
    for (const name of ['sslcert', 'sslkey']) {
      expect(issuesOf(`postgres://ann:hunter2@db/shop?${name}=${written('garbage')}`)).toEqual([
        { message: expect.stringContaining('cannot be used'), solution: expect.stringContaining('PEM') },
      ]);
    }
    expect(issuesOf(`postgres://db/shop?sslrootcert=${written(selfSigned('db').certificate)}`)).toEqual([]);
  });
});

describe('a password', () => {
  test('must be a string or a function; the error shows only the type of another value', () => {
    expect(issuesOf({ password: 7_777_777 })).toEqual([
      {
        message: 'connection.password must be a string or a function, not a number',
        solution: expect.stringContaining('string'),
      },
    ]);
    for (const password of ['x', '', undefined, null, () => 'x']) expect(issuesOf({ password })).toEqual([]);
  });

  const ask = (password: unknown, ...given: unknown[]) =>
    (resolveConnection({ password }, []).password as unknown as (...given: unknown[]) => Promise<string>)(...given);

  test("from a function is requested for each connection, and the function gets pg's argument", async () => {
    const password = vi.fn(async () => 'token');
    await expect(ask(password, { host: 'db' })).resolves.toBe('token');
    expect(password).toHaveBeenCalledWith({ host: 'db' });
  });

  test.each([
    [undefined, 'returned undefined'],
    ['', 'returned an empty string'],
    [7_777_777, 'returned a value of type number'],
  ])('is missing if the function returns none, and the error names its result: %s', async (value, text) => {
    const error = await ask(() => value).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'AUTHENTICATION', retry: 'never', message: expect.stringContaining(text) });
    expect((error as Error).message).not.toContain('7777777');
  });

  test('from a function that throws is requested again', async () => {
    const cause = new Error('the token service is down');
    await expect(ask(() => Promise.reject(cause))).rejects.toMatchObject({
      code: 'AUTHENTICATION',
      retry: 'slowly',
      message: expect.stringContaining('the token service is down'),
      cause,
    });
  });
});

test.each([7, true, Symbol('x')])('%s is not accepted as a connection', (connection) => {
  expect(issuesOf(connection)).toEqual([
    {
      message: expect.stringContaining('connection must be a URL or an object of node-postgres'),
      solution: expect.any(String),
    },
  ]);
});

test('a connectionString must be a string', () => {
  expect(issuesOf({ connectionString: new URL('postgres://ann:hunter2@db/shop') })).toHaveLength(1);
});
