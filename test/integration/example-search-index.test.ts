/** examples/search-index: the index has the existing rows and every later change. */
import { Pool } from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { Indexer } from '../../examples/search-index/indexer.ts';
import { searchService } from '../../examples/search-index/search-service.ts';
import { useDatabase } from '../support/database.ts';
import { startExample } from '../support/example.ts';
import { until } from '../support/until.ts';

const database = useDatabase();

test('finds existing, inserted and updated rows, and no longer finds deleted or truncated ones', async () => {
  const example = startExample('search-index', { environment: { DATABASE_URL: database.url } });
  const [, url] = await example.line(/listening on (\S+)\n/);
  await example.line(/filled with 1\n/);
  const found = async (words: string) => {
    const response = await fetch(`${url}/search?q=${encodeURIComponent(words)}`);
    return ((await response.json()) as { id: string }[]).map(({ id }) => id).join();
  };
  const finds = (words: string, ids: string) =>
    until(async () => (await found(words)) === ids, { describe: `'${words}' to find '${ids}'` });

  expect(await found('whale captain')).toBe('1');
  await database.sql(`insert into example.books (title, summary) values ('Emma', 'A matchmaker errs.')`);
  await finds('matchmaker', '2');
  await database.sql(`update example.books set summary = 'A young woman errs.' where id = 2`);
  await finds('matchmaker', '');
  expect(await found('woman errs')).toBe('2');
  // Several changes of a row in one transaction are applied in order.
  const session = await database.client();
  await session.query(`begin; update example.books set summary = 'A calm sea.' where id = 1;
    update example.books set summary = 'A whale again.' where id = 1; delete from example.books where id = 1; commit`);
  await example.line(/DELETE \/documents\/1\n/);
  expect(await found('whale')).toBe('');
  expect(await found('calm')).toBe('');
  await database.sql('update example.books set id = default where id = 2');
  await finds('woman', '3');
  await database.sql(
    `truncate example.books; insert into example.books (title, summary) values ('Middlemarch', 'A woman hopes.')`,
  );
  await finds('woman', '4');

  expect(await example.end('SIGTERM')).toBe(0);
  await database.dropSlot('example_search');
});

test('filling waits for transactions that may have written before, and indexes their rows', async () => {
  const service = searchService();
  onTestFinished(() => service.close());
  const pool = new Pool({ connectionString: database.url });
  onTestFinished(() => pool.end());
  const indexer = new Indexer(pool, await service.listen({ host: '127.0.0.1', port: 0 }));
  await database.sql('delete from example.books');
  const session = await database.client();
  await session.query(`begin; insert into example.books (title, summary) values ('Dracula', 'A count travels.')`);

  const filled = indexer.fill(AbortSignal.timeout(30_000));
  const asks = `select from pg_stat_activity where query like '%pg_snapshot_xmin%' and pid <> pg_backend_pid()`;
  await until(async () => (await database.sql(asks)).length > 0, { describe: 'filling to wait for the transaction' });
  await session.query('commit');
  expect(await filled).toBe(1);
  expect((await service.inject('/search?q=count')).json()).toHaveLength(1);
});

test('a late write does not bring back a deleted document', async () => {
  const service = searchService();
  const put = (text: string, version: number) =>
    service.inject({ method: 'PUT', url: `/documents/1?version=${version}`, payload: { text } });
  expect((await put('whale', 5)).statusCode).toBe(204);
  expect((await put('old whale', 0)).statusCode).toBe(409);
  expect((await service.inject({ method: 'DELETE', url: '/documents/1?version=6' })).statusCode).toBe(204);
  expect((await put('late whale', 5)).statusCode).toBe(409);
  expect((await service.inject({ method: 'DELETE', url: '/documents?version=7' })).statusCode).toBe(204);
  const unknown = { method: 'PUT', url: '/documents/2?version=0', payload: { text: 'whale' } } as const;
  expect((await service.inject(unknown)).statusCode).toBe(409);
  expect((await service.inject('/search?q=whale')).json()).toEqual([]);
});
