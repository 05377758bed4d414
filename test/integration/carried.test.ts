/** The tables of a publication are read from the catalogs: the same as in PostgreSQL's own view, without a lock on any table. */
import { expect, inject, test } from 'vitest';
import { readPublication } from '../../src/setup/publication.ts';
import { readTables } from '../../src/postgres/tables.ts';
import { useDatabase } from '../support/database.ts';

const db = useDatabase();

test.for([
  ['single tables', 14, 'for table only plain, parent', ''],
  ['a table that inherits, without its parent', 14, 'for table child', ''],
  ['roots, under their own names', 14, 'for table only root, plain', 'publish_via_partition_root = true'],
  ['the partitions of roots', 14, 'for table root, plain', ''],
  ['a partition alone', 14, 'for table root_low, root_mid_1', 'publish_via_partition_root = true'],
  ['a partition that is partitioned again', 14, 'for table root_mid', 'publish_via_partition_root = true'],
  ['roots and partitions, under the roots', 15, 'for table root, root_low, root_mid', 'publish_via_partition_root = true'],
  ['all tables', 14, 'for all tables', ''],
  ['all tables, under their roots', 14, 'for all tables', 'publish_via_partition_root = true'],
  ['the tables of a schema', 15, 'for tables in schema other', ''],
  ['the tables of a schema and others, under their roots', 15, 'for tables in schema other, table root', 'publish_via_partition_root = true'],
  ['nothing', 14, '', ''],
] as const)('%s', async ([what, since, clause, options], { skip }) => {
  if (inject('server').version < since) skip(`PostgreSQL ${since} and newer`);
  await db.sql(`
    create schema if not exists other;
    create table if not exists plain (id int primary key); create unlogged table if not exists quick (id int primary key);
    create table if not exists parent (id int primary key); create table if not exists child (more int) inherits (parent);
    create table if not exists root (id int primary key) partition by range (id);
    create table if not exists root_low partition of root for values from (0) to (10);
    create table if not exists root_mid partition of root for values from (10) to (20) partition by range (id);
    create table if not exists root_mid_1 partition of root_mid for values from (10) to (20);
    create table if not exists other.plain (id int primary key); create table if not exists other.root (id int primary key) partition by range (id);
    create table if not exists other.root_low partition of other.root for values from (0) to (10);
    create table if not exists other.root_high partition of root for values from (20) to (30);
    create or replace view seen as select * from plain`);
  const name = `carrying ${what}`;
  await db.sql(`create publication "${name}" ${clause} ${options === '' ? '' : `with (${options})`}`);
  const expected = await db.sql<{ table: string }>(
    `select format('"%s"."%s"', schemaname, tablename) as table from pg_publication_tables where pubname = $1`,
    [name],
  );
  const { version: major } = inject('server');
  const client = await db.client();
  const publication = await readPublication(client, name, { major });
  expect([...publication!.carried].toSorted()).toEqual(expected.map(({ table }) => table).toSorted());

  // A migration locks them all.
  const migration = await db.client();
  await migration.query('begin');
  for (const table of ['plain', 'child', 'root', 'root_low', 'root_mid', 'root_mid_1', 'other.root_high', 'other.plain'])
    await migration.query(`lock table only ${table} in access exclusive mode`);
  await client.query(`set lock_timeout = 1`);
  expect((await readPublication(client, name, { major }))?.carried).toEqual(publication!.carried);
  const [root] = await readTables(client, [{ schema: 'public', name: 'root' }]);
  expect(root!.leaves.map((leaf) => leaf.name).toSorted()).toEqual(['root_high', 'root_low', 'root_mid_1']);
  await migration.query('rollback');
}); // prettier-ignore

test('a row filter that is already known is not read again while its table is locked, and an unknown one waits for the lock', async ({
  skip,
}) => {
  const { version: major } = inject('server');
  if (major < 15) skip('row filters came with PostgreSQL 15');
  await db.sql('create table filtered (id int primary key)');
  await db.sql('create publication filtering for table filtered where (id > 5)');
  const client = await db.client();
  const texts = new Map<string, string>();
  const read = async () => (await readPublication(client, 'filtering', { major }, texts))!.listed[0]!.where;
  expect(await read()).toBe('(id > 5)');
  await db.sql('alter publication filtering set table filtered where (id > 6)');
  const migration = await db.client();
  await migration.query('begin');
  await migration.query('lock table filtered in access exclusive mode');
  await client.query(`set lock_timeout = 1`);
  await expect(read()).rejects.toMatchObject({ code: '55P03' });
  await migration.query('rollback');
  expect(await read()).toBe('(id > 6)');
  await migration.query('begin');
  await migration.query('lock table filtered in access exclusive mode');
  expect(await read()).toBe('(id > 6)');
  await migration.query('rollback');
});
