import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { sessionConfig } from '../../../src/catalog/session.ts';

beforeEach(() => void vi.stubEnv('PGOPTIONS', undefined));
afterEach(() => void vi.unstubAllEnvs());
const session = { name: 'walwatch/worker', connectTimeout: 7000 };

/** `-c name=value …` as an object; what comes later holds, as it does for PostgreSQL. */
const settingsOf = (options: string | undefined) =>
  Object.fromEntries((options ?? '').split(' ').flatMap((part) => (part.includes('=') ? [part.split('=')] : [])));

test('how values are written is set with the connection, because roles and databases may hold something else', () => {
  expect(settingsOf(sessionConfig({}, session).options)).toMatchObject({
    datestyle: 'ISO',
    intervalstyle: 'postgres',
    timezone: 'UTC',
    extra_float_digits: '1',
    bytea_output: 'hex',
    client_encoding: 'UTF8',
    search_path: '"$user",public',
  });
});

test('timeouts that are meant for queries of the application do not end the stream, neither in pg nor in the server', () => {
  const config = sessionConfig({ statement_timeout: 5000, query_timeout: 5000, lock_timeout: 5000 }, session);
  expect(config).toMatchObject({ statement_timeout: 0, query_timeout: 0, lock_timeout: 0 });
  expect(settingsOf(config.options)).toMatchObject({
    statement_timeout: '0',
    lock_timeout: '0',
    idle_in_transaction_session_timeout: '0',
    idle_session_timeout: '0',
  });
});

test('the session has its name, its timeout and its own settings', () => {
  const config = sessionConfig(
    { application_name: 'app', keepAlive: false },
    { ...session, settings: { wal_sender_timeout: '3000ms' } },
  );
  expect(config).toMatchObject({ application_name: 'walwatch/worker', connectionTimeoutMillis: 7000, keepAlive: true });
  expect(settingsOf(config.options)).toMatchObject({ wal_sender_timeout: '3000ms' });
});

test('everything else of the connection stays, and its object is not changed', () => {
  const ssl = { rejectUnauthorized: true };
  const connection = Object.freeze({ host: 'db', password: 'x', ssl });
  expect(sessionConfig(connection, session)).toMatchObject({ host: 'db', password: 'x', ssl });
});

test("the application's own options have the last word, those of the environment only without any", () => {
  vi.stubEnv('PGOPTIONS', '-c timezone=CET');
  expect(settingsOf(sessionConfig({}, session).options)).toMatchObject({ timezone: 'CET', datestyle: 'ISO' });
  expect(settingsOf(sessionConfig({ options: '-c role=app' }, session).options)).toMatchObject({
    timezone: 'UTC',
    role: 'app',
  });
});
