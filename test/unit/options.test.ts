import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { onErrorIssues, resolveOptions, type WatchOptions } from '../../src/options.ts';
import { defineWatchers } from '../../src/watchers/define.ts';
import { problemsOf } from '../support/problems.ts';

const watchers = defineWatchers([['users', 'updated']]);
const resolve = (options: object) => resolveOptions({ slot: 'worker', watchers, ...options } as WatchOptions);

const problems = (options: unknown) => problemsOf(() => resolveOptions(options as WatchOptions));
const wrong = (options: object) => problems({ slot: 'worker', watchers, ...options });

const noServer = ['DATABASE_URL', 'PGHOST', 'PGPORT', 'PGUSER', 'PGDATABASE'];
beforeEach(() => {
  for (const name of noServer) vi.stubEnv(name, undefined);
  vi.stubEnv('PGHOST', 'db');
});
afterEach(() => void vi.unstubAllEnvs());

test('slot and watchers are enough: all other options have defaults', () => {
  expect(resolve({})).toEqual({
    connection: {},
    slot: { name: 'worker', temporary: false, takeover: 'wait', onLost: 'stop', failover: false },
    publication: { name: 'worker', columnLists: false },
    manage: 'create',
    visibility: 'committed',
    onError: 'retry',
    origin: 'any',
    heartbeat: undefined,
    retainedWalWarning: undefined,
    highWaterMark: 16 * 1024 * 1024,
    connectTimeout: 10_000,
    stopTimeout: 10_000,
    debug: false,
  });
});

test('given options replace the defaults', () => {
  const given = {
    publication: 'Accounts', manage: 'verify', visibility: 'immediate', onError: () => 'skip', origin: 'none',
    heartbeat: 9, retainedWalWarning: 5, highWaterMark: 0, connectTimeout: 7, stopTimeout: 8, debug: true,
  }; // prettier-ignore
  expect(
    resolve({ ...given, slot: { name: 'a_1', takeover: 'terminate', onLost: 'recreate', failover: true } }),
  ).toEqual({
    ...given,
    connection: {},
    slot: { name: 'a_1', temporary: false, takeover: 'terminate', onLost: 'recreate', failover: true },
    publication: { name: 'Accounts', columnLists: false },
  });
  expect(resolve({ publication: { name: 'x', columnLists: true } }).publication).toEqual({
    name: 'x',
    columnLists: true,
  });
  expect(resolve({ publication: {} }).publication).toEqual({ name: 'worker', columnLists: false });
});

describe('the connection', () => {
  test('can be a URL or the settings of node-postgres, with the same result', () => {
    const parts = { user: 'ann', password: 'hunter2', host: 'db', port: 5433, database: 'shop' };
    expect(resolve({ connection: 'postgres://ann:hunter2@db:5433/shop' }).connection).toEqual(parts);
    expect(resolve({ connection: parts }).connection).toEqual(parts);
  });

  test('can mix a URL with other settings; the URL is replaced by its parts', () => {
    const types = { getTypeParser: vi.fn() };
    const connection = { connectionString: 'postgres://ann:x@db/shop', types, host: 'other' };
    const parts = { user: 'ann', password: 'x', host: 'db', database: 'shop' };
    expect(resolve({ connection }).connection).toEqual({ ...parts, types });
  });

  test('defaults to DATABASE_URL, then to the settings that node-postgres finds', () => {
    vi.stubEnv('DATABASE_URL', 'postgres://db/shop');
    expect(resolve({}).connection).toMatchObject({ host: 'db', database: 'shop' });
    expect(resolve({ connection: { host: 'other' } }).connection).toEqual({ host: 'other' });
    vi.stubEnv('DATABASE_URL', '');
    expect(resolve({}).connection).toEqual({});
  });

  test.each([
    {},
    { connection: '' },
    { connection: { password: 'x', ssl: true } },
    { connection: { host: undefined } },
  ])('is refused if it names no server, because node-postgres would connect to localhost: %j', (options) => {
    vi.stubEnv('PGHOST', undefined);
    expect(wrong(options)).toEqual([expect.stringContaining('no server is named')]);
    for (const name of ['PGHOST', 'PGPORT', 'PGUSER', 'PGDATABASE']) {
      vi.stubEnv(name, '1');
      expect(resolve(options)).toBeDefined();
      vi.stubEnv(name, undefined);
    }
  });

  test('leaves the choice of the server to node-postgres if an object without a server is given', () => {
    vi.stubEnv('PGHOST', undefined);
    for (const connection of [{}, { ssl: true }, { database: 'shop' }])
      expect(resolve({ connection }).connection).toEqual(connection);
  });
});

describe('a slot', () => {
  test.each(['Worker', 'worker-1', 'a b', '', 'x'.repeat(64), 'ä', 'a\n'])('cannot have the name %j', (slot) => {
    for (const given of [slot, { name: slot }])
      expect(problems({ slot: given, watchers, publication: 'p' })).toEqual([
        `${JSON.stringify(slot)} is not a valid name for a replication slot`,
      ]);
  });

  test('can have up to 63 lower-case letters, digits and underscores', () => {
    for (const slot of ['x'.repeat(63), '0', '_']) expect(resolve({ slot }).slot.name).toBe(slot);
  });

  test('must have a name, unless it is temporary', () => {
    for (const slot of [undefined, {}, { temporary: false }])
      expect(problems({ slot, watchers, publication: 'p' })).toEqual(['slot is missing']);
  });

  test('gets a unique name if it is temporary, and so does its publication: two live watches never share one', () => {
    const [one, other] = [resolve({ slot: { temporary: true } }), resolve({ slot: { temporary: true } })];
    expect(one.slot).toMatchObject({ temporary: true, name: expect.stringMatching(/^walwatch_live_[a-z0-9_]{1,40}$/) });
    expect(one.publication.name).toBe(one.slot.name);
    expect(one.slot.name).not.toBe(other.slot.name);
    expect(resolve({ slot: { temporary: true, name: 'live' } }).slot.name).toBe('live');
  });
});

test('logger: false logs nothing', () => {
  expect(resolve({ logger: false })).toEqual(resolve({}));
});

test.each([
  [{ slott: 1 }, "unknown option 'slott'"],
  [{ slot: { name: 'a', onlost: 'stop' } }, "unknown slot option 'onlost'"],
  [{ slot: { name: 'a', onLost: 'ignore' } }, `slot.onLost must be 'stop' or 'recreate', not "ignore"`],
  [{ slot: { name: 'a', takeover: 'kill' } }, `slot.takeover must be 'wait' or 'terminate', not "kill"`],
  [{ heartbeat: -1 }, 'heartbeat must be a number of milliseconds from 0 to 2147483647, not -1'],
  [{ publication: { nam: 'a' } }, "unknown publication option 'nam'"],
  [{ publication: { columnLists: 'yes' } }, 'publication.columnLists must be true or false, not "yes"'],
  [{ publication: '' }, '"" is not a valid name for a publication'],
  [{ publication: 'ä'.repeat(32) }, `${JSON.stringify('ä'.repeat(32))} is not a valid name for a publication`],
  [{ publication: 'a\0' }, '"a\\u0000" is not a valid name for a publication'],
  [{ publication: 7 }, '7 is not a valid name for a publication'],
  [{ manage: 'ignore' }, `manage must be 'create' or 'verify', not "ignore"`],
  [{ visibility: 'later' }, `visibility must be 'committed' or 'immediate', not "later"`],
  [{ origin: 'local' }, `origin must be 'any' or 'none', not "local"`],
  [{ onError: 'skip' }, `onError must be 'retry', { attempts, then } or a function, not "skip"`],
  [{ watchers: [] }, 'watchers is missing'],
  [{ watchers: undefined }, 'watchers is missing'],
  [{ highWaterMark: -1 }, 'highWaterMark must be a number of bytes, 0 or more, not -1'],
  [{ highWaterMark: '16MB' }, 'highWaterMark must be a number of bytes, 0 or more, not "16MB"'],
  [{ retainedWalWarning: Number.NaN }, 'retainedWalWarning must be a number of bytes, 0 or more, not NaN'],
  [{ connectTimeout: -1 }, 'connectTimeout must be a number of milliseconds from 0 to 2147483647, not -1'],
  [{ stopTimeout: null }, 'stopTimeout must be a number of milliseconds from 0 to 2147483647, not null'],
  [{ logger: { info() {} } }, 'logger lacks one of the methods debug, info, warn and error'],
  [{ logger: null }, 'logger lacks one of the methods debug, info, warn and error'],
])('refused: %j', (options, message) => {
  expect(wrong(options)).toEqual([message]);
});

test('all problems are reported at once', () => {
  const options = {
    slot: 'No',
    publication: '',
    watchers: 1,
    manage: 1,
    visibility: 1,
    origin: 1,
    onError: 1,
    connection: 1,
    x: 1,
  };
  expect(problems(options)).toHaveLength(9);
  for (const none of [undefined, null, 'x'])
    expect(problems(none)).toEqual(['createWatch() takes an object of options']);
});

test('onError accepts its three forms and nothing else', () => {
  const right = ['retry', { attempts: 1, then: 'stop' }, { attempts: 5, then: 'skip' }, () => 'retry'];
  const others = ['stop', null, undefined, {}, { attempts: 5 }, { then: 'skip' }, { attempts: 0, then: 'skip' }];
  const more = [
    { attempts: 1.5, then: 'skip' },
    { attempts: '5', then: 'skip' },
    { attempts: 5, then: 'retry' },
  ];
  const accepted = [...right, ...others, ...more].filter((one) => onErrorIssues(one as 'retry').length === 0);
  expect(accepted).toEqual(right);
});
