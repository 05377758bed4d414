/** Any value that JavaScript can pass is accepted or refused with a ConfigurationError, never with a TypeError from inside. */
import { integer, pgTable } from 'drizzle-orm/pg-core';
import { describe, expect, test } from 'vitest';
import { ConfigurationError } from '../../src/errors.ts';
import { createWatch, defineWatchers, table } from '../../src/index.ts';

const odd: readonly unknown[] = [
  undefined, null, true, 0, -1, NaN, 7n, '', ' ', 'x', Symbol('odd'), [], [null], [undefined], [7n], [Symbol('odd')], {}, { a: null },
  Object.create(null), () => {}, new Date(NaN), new Map(),
]; // prettier-ignore

/** The values that fail with anything but a ConfigurationError. */
function failures(use: (given: never) => unknown): unknown[] {
  return odd.flatMap((given) => {
    try {
      use(given as never);
      return [];
    } catch (error) {
      return error instanceof ConfigurationError ? [] : [{ given, error }];
    }
  });
}

const users = pgTable('users', { id: integer('id').primaryKey() });
const watched = (given: unknown) => defineWatchers([[given, 'updated']] as never);
const watchWith = (options: object) =>
  createWatch({ slot: 'odd', connection: {}, watchers: defineWatchers([['users', 'updated']]), ...options } as never);

describe('a table', () => {
  const definition = { tableName: 'users', primaryKey: 'id' };
  test.each<[string, (given: never) => unknown]>([
    ['name or definition', watched],
    ['argument of table()', (given) => table(given)],
    ['definition of table()()', (given) => watched(table()(given))],
    ['tableName', (tableName) => watched(table()({ ...definition, tableName } as never))],
    ['schema', (schema) => watched(table()({ ...definition, schema } as never))],
    ['primaryKey', (primaryKey) => watched(table()({ ...definition, primaryKey } as never))],
    ['columnMap', (columnMap) => watched(table()({ ...definition, columnMap } as never))],
    ['key of a Drizzle table', (given) => watched(table(users)(given))],
    ['primaryKey of a Drizzle table', (primaryKey) => watched(table(users)({ primaryKey }))],
  ])('with an odd %s', (_, use) => expect(failures(use)).toEqual([]));
});

describe('watchers', () => {
  const withOption = (options: object) => defineWatchers([['users', 'updated', options]] as never);
  test.each<[string, (given: never) => unknown]>([
    ['list', (given) => defineWatchers(given)],
    ['typed list', (given) => defineWatchers()(given)],
    ['entry', (given) => defineWatchers([given] as never)],
    ['type', (given) => defineWatchers([['users', given]] as never)],
    ['options', (given) => defineWatchers([['users', 'updated', given]] as never)],
    ['label', (label) => withOption({ label })],
    ['extraColumns', (extraColumns) => withOption({ extraColumns })],
    ['triggerColumns', (triggerColumns) => withOption({ label: 'odd', triggerColumns })],
    ['absent', (absent) => withOption({ absent })],
    ['debug', (debug) => withOption({ debug })],
  ])('with an odd %s', (_, use) => expect(failures(use)).toEqual([]));
});

describe('a watch', () => {
  test('with odd options', () => expect(failures((given) => createWatch(given))).toEqual([]));

  test.each([
    'connection', 'slot', 'publication', 'watchers', 'manage', 'visibility', 'onError', 'origin', 'heartbeat', 'retainedWalWarning',
    'highWaterMark', 'connectTimeout', 'stopTimeout', 'logger', 'debug',
  ])('with an odd %s', (option) => expect(failures((given) => watchWith({ [option]: given }))).toEqual([])); // prettier-ignore

  test.each(['name', 'temporary', 'takeover', 'onLost', 'failover'])('with an odd slot.%s', (option) =>
    expect(failures((given) => watchWith({ slot: { name: 'odd', [option]: given } }))).toEqual([]),
  );
});

describe('a subscription', () => {
  const watch = watchWith({});
  const subscribe = watch.subscribe.bind(watch) as (...args: unknown[]) => unknown;
  const handler = () => {};
  test.each<[string, (given: unknown) => unknown]>([
    ['watcher', (given) => subscribe(given, handler)],
    ['handler', (given) => subscribe('users:updated', given)],
    ['filter', (given) => subscribe('users:updated', given, handler)],
    ['filtered value', (id) => subscribe('users:updated', { id }, handler)],
    ['options', (given) => subscribe('users:updated', handler, given)],
    ['watcher to unsubscribe', (given) => watch.unsubscribe(given as never, handler)],
    ['filter to unsubscribe', (given) => (watch.unsubscribe as any)('users:updated', given, handler)],
    ['watcher to iterate', (given) => watch.events(given as never)],
    ['filter to iterate', (given) => (watch.events as any)('users:updated', given)],
    ['watcher to describe', (given) => watch.details(given as never)],
    ['prefix of messages', (given) => watch.onMessage(given as never, handler)],
    ['handler of messages', (given) => watch.onMessage('outbox', given as never)],
    ['options of messages', (given) => watch.onMessage('outbox', handler, given as never)],
  ])('with an odd %s', (_, use) => expect(failures(use)).toEqual([]));

  test.each(['name', 'signal', 'onError', 'timeout', 'transaction', 'concurrency'])('with an odd %s', (option) =>
    expect(failures((given) => subscribe('users:updated', handler, { [option]: given }))).toEqual([]),
  );
});
