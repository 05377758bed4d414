/** examples/cache-invalidator: a real HTTP cache in front of a real application. */
import { expect, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { startExample } from '../support/example.ts';
import { until } from '../support/until.ts';

const database = useDatabase();

test('a page stays in the cache until a row that it shows changes: the article, and the lists of its old and new author', async () => {
  const example = startExample('cache-invalidator', { environment: { DATABASE_URL: database.url } });
  const [, url] = await example.line(/listening on (\S+)\n/);
  await example.line(/watching\n/);
  const get = async (path: string) => {
    const response = await fetch(url + path);
    return { cache: response.headers.get('x-cache'), body: (await response.json()) as unknown };
  };
  const paths = ['/articles/1', '/authors/1/articles', '/authors/2/articles', '/authors/3/articles'];
  const hits = async () => {
    const pages = await Promise.all(paths.map(get));
    return paths.filter((_, i) => pages[i]?.cache === 'hit');
  };
  await hits(); // fetches them
  expect(await hits()).toEqual(paths);

  await database.sql('update example.articles set author_id = 2 where id = 1');
  await example.line(/purged \/authors\/2\/articles\n[^]*purged \/authors\/1\/articles\n/);
  expect(await hits()).toEqual(['/authors/3/articles']);
  expect((await get('/authors/1/articles')).body).toEqual([]);
  expect((await get('/authors/2/articles')).body).toEqual([{ id: 1, title: 'On slots' }]);

  await database.sql('delete from example.articles');
  await until(async () => JSON.stringify((await get('/authors/2/articles')).body) === '[]', {
    describe: 'the list without the article',
  });
  expect(await example.end('SIGTERM')).toBe(0);
  await database.dropSlot('example_cache');
});
