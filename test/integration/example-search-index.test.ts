/** examples/search-index: the index matches the table, including rows from before the start. */
import { expect, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { startExample } from '../support/example.ts';
import { until } from '../support/until.ts';

const database = useDatabase();

test('finds existing rows, new rows and changed rows, and no deleted ones', async () => {
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
  // Several changes of a row in one transaction: their handlers run concurrently, and all see its final state.
  const session = await database.client();
  await session.query(`begin; update example.books set summary = 'A calm sea.' where id = 1;
    update example.books set summary = 'A whale again.' where id = 1; delete from example.books where id = 1; commit`);
  await finds('whale', '');
  expect(await found('calm')).toBe('');

  expect(await example.end('SIGTERM')).toBe(0);
  await database.dropSlot('example_search');
});

test('a document that is written late does not restore a deleted one', async () => {
  const { searchService } = await import('../../examples/search-index/search-service.ts');
  const service = searchService();
  const put = (text: string, version: number) =>
    service.inject({ method: 'PUT', url: `/documents/1?version=${version}`, payload: { text } });
  expect((await put('whale', 5)).statusCode).toBe(204);
  expect((await put('old whale', 0)).statusCode).toBe(409);
  expect((await service.inject({ method: 'DELETE', url: '/documents/1?version=6' })).statusCode).toBe(204);
  expect((await put('late whale', 5)).statusCode).toBe(409);
  expect((await service.inject('/search?q=whale')).json()).toEqual([]);
});
