/** The SQL is code, so that bundlers take it along, and files, for those who run it by hand. `-u` writes the files. */
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { migrations } from '../../../src/postgres/migrations.ts';

test.each(Object.entries(migrations))('sql/migrations has %s as walwatch runs it', async (name, sql) => {
  await expect(sql).toMatchFileSnapshot(`../../../sql/migrations/${name}.sql`);
});

test('sql/migrations has nothing that walwatch does not know', () => {
  const files = readdirSync(new URL('../../../sql/migrations/', import.meta.url));
  expect(files.toSorted()).toEqual(Object.keys(migrations).map((name) => `${name}.sql`));
});
