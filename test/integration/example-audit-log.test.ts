/** examples/audit-log: the log has every change exactly once, with its actor, and the queries of the README work. */
import { readFile } from 'node:fs/promises';
import type { Client } from 'pg';
import { beforeEach, expect, test } from 'vitest';
import { createOutbox } from '../../src/outbox/index.ts';
import { useDatabase } from '../support/database.ts';
import { startExample } from '../support/example.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication } from '../support/watching.ts';

const database = useDatabase();
const outbox = createOutbox();

beforeEach(() => database.sql('drop schema if exists example, walwatch cascade'));

const count = async (of: string): Promise<number> =>
  (await database.sql<{ count: number }>(`select count(*)::int as count from ${of}`))[0]!.count;

/** The queries of the README, each with the cells of the table that follows it. Times differ, so they become `…`. */
async function documentedQueries(): Promise<{ sql: string; cells: string[][] }[]> {
  const readme = await readFile(new URL('../../examples/audit-log/README.md', import.meta.url), 'utf8');
  return [...readme.matchAll(/```sql\n([^]*?)```\n+```\n([^]*?)```/g)].map(([, sql = '', output = '']) => ({
    sql,
    cells: output.split('\n').flatMap((line) => (line.includes('|') ? [line.split('|').map(withoutTime)] : [])),
  }));
}

const withoutTime = (cell: string | null): string =>
  String(cell ?? '')
    .trim()
    .replace(/^\d\d:\d\d:\d\d$/, '…');

test('the queries of the README give the documented result for the changes of the example', async () => {
  const example = startExample('audit-log', { environment: { DATABASE_URL: database.url } });
  await example.line(/audited unknown updated example.accounts 1\n/);
  expect(await example.end('SIGTERM')).toBe(0);

  const queries = await documentedQueries();
  expect(queries).toHaveLength(2);
  for (const { sql, cells } of queries) {
    const rows = await database.sql<Record<string, string | null>>(sql);
    expect([Object.keys(rows[0]!), ...rows.map(Object.values)].map((row) => row.map(withoutTime))).toEqual(cells);
  }
  await dropSlotAndPublication(database, 'example_audit');
});

test('after workers were killed in a transaction and between transactions, each change is in the log exactly once', async () => {
  const environment = { DATABASE_URL: database.url };
  const start = async () => {
    const worker = startExample('audit-log', { environment, args: ['worker'] });
    await worker.line(/auditing\n/);
    return worker;
  };
  const writer = await database.client();
  let worker = await start();

  // Killed while its transaction waits for a lock.
  const locker = await database.client();
  await locker.query('begin; lock table example.audit_log in share mode');
  await write(writer, 1, 20);
  const waits = `pg_locks where not granted and relation = 'example.audit_log'::regclass`;
  await until(async () => (await count(waits)) > 0, { describe: 'the worker to wait for the lock' });
  expect(await worker.end('SIGKILL')).toBe('SIGKILL');
  await locker.query('rollback');
  await until(async () => (await count(waits)) === 0, { describe: 'the end of the waiting session' });
  expect(await count('example.audit_log')).toBe(0);

  // Killed right after its first transaction.
  worker = await start();
  const writing = write(writer, 21, 300);
  await until(async () => (await count('example.audit_log')) > 0, { describe: 'the first entries' });
  expect(await worker.end('SIGKILL')).toBe('SIGKILL');
  await writing;

  worker = await start();
  await until(async () => (await count('example.audit_log')) >= 900, { describe: 'all entries' });
  expect(await worker.end('SIGTERM')).toBe(0);
  const log = await database.sql(
    `select row_id, array_agg(operation || ' by ' || actor order by id) as history, min(old_values ->> 'credit_limit') as was
     from example.audit_log group by row_id order by row_id::int`,
  );
  expect(log).toEqual(
    Array.from({ length: 300 }, (_, index) => ({
      row_id: String(index + 1),
      history: [`inserted by user:${index + 1}`, `updated by user:${index + 1}`, 'deleted by job:cleaner'],
      was: '100.00',
    })),
  );
  await dropSlotAndPublication(database, 'example_audit');
});

/** Each number is an account that is inserted and updated in one transaction, and deleted in a second one. */
async function write(client: Client, from: number, to: number): Promise<void> {
  for (let id = from; id <= to; id++) {
    await client.query('begin');
    await outbox.annotate(client, { actor: `user:${id}`, requestId: `req-${id}` });
    await client.query(
      `insert into example.accounts (id, email, credit_limit) overriding system value values ($1, 'ada@example.org', 100)`,
      [id],
    );
    await client.query('update example.accounts set credit_limit = 200 where id = $1', [id]);
    await client.query('commit; begin');
    await outbox.annotate(client, { actor: 'job:cleaner', requestId: 'run-1' });
    await client.query('delete from example.accounts where id = $1', [id]);
    await client.query('commit');
  }
}
