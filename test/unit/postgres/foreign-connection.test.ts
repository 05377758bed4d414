/** A client instead of settings: node-postgres would find no settings in it and connect to localhost. */
import { drizzle } from 'drizzle-orm/node-postgres';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import postgres from 'postgres';
import { expect, test, vi } from 'vitest';
import { resolveOptions } from '../../../src/options.ts';
import { defineWatchers } from '../../../src/watchers/define.ts';

const url = 'postgres://ann:secret@db.example.org/shop'; // nothing connects
const pool = new pg.Pool({ connectionString: url });
const watchers = defineWatchers([['users', 'updated']]);
const resolve = (connection: unknown) => resolveOptions({ slot: 'worker', watchers, connection: connection as string });

test.each([
  ['a Pool', pool],
  ['a Client', new pg.Client(url)],
  ['a Drizzle database', drizzle(pool)],
  ['a Drizzle database', drizzle(url)],
  ['a Kysely', new Kysely({ dialect: new PostgresDialect({ pool }) })],
  // The public methods of the client that `prisma generate` makes.
  ['a Prisma client', { $connect() {}, $disconnect() {}, $transaction() {}, $executeRaw() {}, $queryRaw() {} }],
  ['a postgres.js sql', postgres(url)],
  ['a pool or client', { connect() {}, query() {} }], // such as @neondatabase/serverless
  ['a database client', { initialize() {}, query() {} }], // such as TypeORM
])('%s is refused, and the solution is a URL or settings', (what, connection) => {
  expect(() => resolve(connection)).toThrow(
    `connection is ${what}, but walwatch opens its own sessions\n    Pass the URL that it was created with, or { host, port, user, password, database }`,
  );
});

test.each([
  [{ url }, 'url', 'connectionString'],
  [{ username: 'ann', host: 'db' }, 'username', 'user'],
  [{ hostname: 'db' }, 'hostname', 'host'],
])("a setting with another library's name for it is refused: %j", (connection, alias, name) => {
  expect(() => resolve(connection)).toThrow(
    `connection has no setting '${alias}'\n    node-postgres calls it '${name}'.`,
  );
});

test('settings of pg are accepted, including functions, and those that only a pool uses', () => {
  const password = vi.fn();
  const settings = { host: 'db', username: 'x', user: 'ann', password, stream: () => undefined, max: 5 };
  expect(resolve(settings).connection).toMatchObject({ host: 'db', user: 'ann', max: 5 });
  expect(resolve({}).connection).toEqual({});
});
