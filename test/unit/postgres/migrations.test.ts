/** The migrations are code, so that bundlers include them, and files, to run by hand. `-u` writes the files. */
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { migrations } from '../../../src/postgres/migrations.ts';

test.each(Object.entries(migrations))(
  'the file of %s in sql/migrations has the SQL that walwatch runs',
  async (name, sql) => {
    await expect(sql).toMatchFileSnapshot(`../../../sql/migrations/${name}.sql`);
  },
);

test('sql/migrations has no other files', () => {
  const files = readdirSync(new URL('../../../sql/migrations/', import.meta.url));
  expect(files.toSorted()).toEqual(Object.keys(migrations).map((name) => `${name}.sql`));
});
