import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClientConfig, CustomTypesConfig } from 'pg';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { handlerConfig, sessionConfig } from '../../../src/postgres/session.ts';

beforeEach(() => void vi.stubEnv('PGOPTIONS', undefined));
afterEach(() => void vi.unstubAllEnvs());
const session = { name: 'walwatch/worker', connectTimeout: 7000 };

/** Parses `-c name=value …`; as in PostgreSQL, a later value replaces an earlier one. */
const settingsOf = (options: string | undefined) =>
  Object.fromEntries((options ?? '').split(' ').flatMap((part) => (part.includes('=') ? [part.split('=')] : [])));

test('settings for the text format of values are part of the connection, because roles and databases can have others', () => {
  expect(settingsOf(sessionConfig({}, session).options)).toMatchObject({
    datestyle: 'ISO',
    intervalstyle: 'postgres',
    timezone: 'UTC',
    extra_float_digits: '1',
    bytea_output: 'hex',
    client_encoding: 'UTF8',
    search_path: 'pg_catalog,pg_temp',
  });
});

test("timeouts for the application's queries do not end the stream, neither in pg nor in the server", () => {
  const config = sessionConfig({ statement_timeout: 5000, query_timeout: 5000, lock_timeout: 5000 }, session);
  expect(config).toMatchObject({ statement_timeout: 0, query_timeout: 0, lock_timeout: 0 });
  expect(config.idle_in_transaction_session_timeout).toBe(0);
  expect(settingsOf(config.options)).toMatchObject({
    statement_timeout: '0',
    lock_timeout: '0',
    idle_in_transaction_session_timeout: '10s',
    idle_session_timeout: '0',
  });
});

test('a session has its name, its timeout and its own settings', () => {
  const config = sessionConfig(
    { application_name: 'app', keepAlive: false },
    { ...session, settings: { wal_sender_timeout: '3000ms' } },
  );
  expect(config).toMatchObject({ application_name: 'walwatch/worker', connectionTimeoutMillis: 7000, keepAlive: true });
  expect(settingsOf(config.options)).toMatchObject({ wal_sender_timeout: '3000ms' });
});

test('certificates are read again for each session, because they can be replaced while a worker runs', () => {
  const directory = mkdtempSync(join(tmpdir(), 'walwatch-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'root.crt');
  const ssl = { ca: 'as it was', rejectUnauthorized: true };
  const connection = { host: 'db', ssl, sslrootcert: path } as ClientConfig;
  for (const content of ['first', 'second']) {
    writeFileSync(path, content);
    expect(sessionConfig(connection, session).ssl).toEqual({ ca: content, rejectUnauthorized: true });
    expect(handlerConfig(connection, 'a', 1).ssl).toEqual({ ca: content, rejectUnauthorized: true });
  }
  rmSync(path);
  const unreadable = {
    code: 'TLS',
    retry: 'slowly',
    message: expect.stringContaining('sslrootcert'),
  };
  expect(() => sessionConfig(connection, session)).toThrow(expect.objectContaining(unreadable));
  expect(sessionConfig({ host: 'db', ssl }, session).ssl).toBe(ssl);
});

test('other settings of the connection are kept, and its object is not changed', () => {
  const ssl = { rejectUnauthorized: true };
  const connection = Object.freeze({ host: 'db', password: 'x', ssl });
  expect(sessionConfig(connection, session)).toMatchObject({ host: 'db', password: 'x', ssl });
});

test("the application's own options have priority; PGOPTIONS applies only if there are none", () => {
  vi.stubEnv('PGOPTIONS', '-c timezone=CET');
  expect(settingsOf(sessionConfig({}, session).options)).toMatchObject({ timezone: 'CET', datestyle: 'ISO' });
  expect(settingsOf(sessionConfig({ options: '-c role=app' }, session).options)).toMatchObject({
    timezone: 'UTC',
    role: 'app',
  });
});

test("the search path is the exception: the application's schemas could contain operators that walwatch's SQL would run", () => {
  vi.stubEnv('PGOPTIONS', '-c search_path=app');
  for (const connection of [{}, { options: '--search_path=app' }, { options: '-c search_path=app' }]) {
    expect(sessionConfig(connection, session).options).toMatch(/ -c search_path=pg_catalog,pg_temp$/);
    expect(handlerConfig(connection, 'a', 1).options).not.toContain('pg_catalog');
  }
});

test("walwatch's own queries use walwatch's parsers, because the application's are for the values of its events", () => {
  const types = { getTypeParser: () => () => 'theirs' } as CustomTypesConfig;
  const { getTypeParser } = sessionConfig({ types }, session).types!;
  const parsed = [
    [16, 't'], [16, 'f'], [21, '7'], [23, '7'], [26, '4000000000'], [701, '0.5'], [114, '{"a":[1]}'], [25, 't'], [20, '9007199254740993'],
  ].map(([oid, text]) => (getTypeParser(oid as number, 'text') as (text: string) => unknown)(text as string)); // prettier-ignore
  expect(parsed).toEqual([true, false, 7, 7, 4_000_000_000, 0.5, { a: [1] }, 't', '9007199254740993']);
});

test("a session for handlers has the application's configuration, but its commits are durable", () => {
  const types = { getTypeParser: () => () => 'theirs' } as CustomTypesConfig;
  const config = handlerConfig(
    { host: 'db', types, statement_timeout: 5, options: '-c synchronous_commit=off' },
    'walwatch/worker',
    7000,
  );
  expect(config).toEqual({
    host: 'db', types, statement_timeout: 5, application_name: 'walwatch/worker', connectionTimeoutMillis: 7000, keepAlive: true,
    options: '-c synchronous_commit=off -c synchronous_commit=on',
  }); // prettier-ignore
  expect(handlerConfig({}, 'a', 1).options).toBe('-c synchronous_commit=on');
  vi.stubEnv('PGOPTIONS', '-c timezone=CET');
  expect(handlerConfig({}, 'a', 1).options).toBe('-c timezone=CET -c synchronous_commit=on');
});
