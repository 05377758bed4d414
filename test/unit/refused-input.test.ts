/** Input that needs care: numbers that are too large for timers, missing names, and a wildcard in quotes. */
import { expect, test } from 'vitest';
import { isSynchronousStandby } from '../../src/postgres/server.ts';
import { ConfigurationError } from '../../src/errors.ts';
import { resolveOptions, type WatchOptions } from '../../src/options.ts';
import { defineWatchers } from '../../src/watchers/define.ts';
import { routingFor } from '../support/routing.ts';
import { usersTable } from '../support/sample-tables.ts';

const watchers = defineWatchers([['users', 'updated']]);
function problems(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigurationError) return error.issues.map(({ message }) => message);
    throw error;
  }
  return [];
}

// syncrep.c, SyncRepGetStandbyPriority(): strcmp(standby_name, "*") on the name without its quotes.
test('a quoted * in synchronous_standby_names matches all names', () => {
  expect(isSynchronousStandby('"*"', 'walwatch/worker')).toBe(true);
  expect(isSynchronousStandby('FIRST 1 (standby1, "*")', 'walwatch/worker')).toBe(true);
});

test('a timeout that is too long for a timer is refused, because Node would turn it into 1 ms', () => {
  const { subscribe } = routingFor(usersTable(), ['users', 'updated']);
  for (const timeout of [Infinity, 2 ** 31])
    expect(problems(() => subscribe('users:updated', () => {}, { timeout }))).toHaveLength(1);
  for (const given of [{ stopTimeout: Infinity }, { connectTimeout: 2 ** 31 }])
    expect(problems(() => resolveOptions({ connection: {}, slot: 'worker', watchers, ...given }))).toHaveLength(1);
  expect(problems(() => resolveOptions({ connection: {}, slot: 'worker', watchers, highWaterMark: Infinity }))).toEqual(
    [],
  );
});

test('a missing slot is reported once, and not also as a publication without a name', () => {
  expect(problems(() => resolveOptions({ connection: {}, watchers } as unknown as WatchOptions))).toEqual([
    'slot is missing',
  ]);
});
