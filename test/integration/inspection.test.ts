/** Others change publication and tables while a worker streams: within one inspection it warns, with the SQL that repairs it. */
import { expect, inject, test } from 'vitest';
import { defineWatchers, type SlotWatch, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

interface Change {
  readonly what: string;
  /** The first version of PostgreSQL that has it. */
  readonly since?: number;
  readonly columnLists?: boolean;
  /** After `$`, the name of the table. */
  readonly columns?: string;
  readonly watchers?: readonly (readonly unknown[])[];
  readonly prepare?: string;
  /** `$`: the table, `#`: the publication. */
  readonly sql: string;
  readonly code: string;
  readonly message: string;
  /** What the application cannot do until it is repaired. */
  readonly refused?: string;
  /** The `solution` is prose, not SQL. */
  readonly undo?: string;
}

const changes: readonly Change[] = [
  {
    what: 'operations that are published no longer',
    sql: `alter publication # set (publish = 'insert')`,
    code: 'PUBLICATION_CHANGED',
    message: 'it does not publish update, delete',
  },
  {
    what: 'a row filter',
    since: 15,
    sql: 'alter publication # set table only $ where (id > 5)',
    code: 'PUBLICATION_CHANGED',
    message: 'the row filter of "public"."$" is WHERE (id > 5), not none',
  },
  {
    what: 'a column list',
    since: 15,
    sql: 'alter publication # set table only $ (id)',
    code: 'PUBLICATION_CHANGED',
    message: `the column list of "public"."$" lacks 'b'`,
  },
  {
    what: 'the way that partitions are published',
    columns: '(id int primary key, b int) partition by range (id)',
    prepare: 'create table $_low partition of $ for values from (0) to (10)',
    sql: 'alter publication # set (publish_via_partition_root = false)',
    code: 'PUBLICATION_CHANGED',
    message: 'publish_via_partition_root is off',
  },
  {
    what: 'generated columns that are sent no longer',
    since: 18,
    columns: '(id int primary key, a int, b int generated always as (a * 2) stored)',
    sql: 'alter publication # set (publish_generated_columns = none)',
    code: 'PUBLICATION_CHANGED',
    message: 'publish_generated_columns is off',
  },
  {
    what: 'a table that is taken out',
    sql: 'create table $_other (id int); alter publication # add table $_other; alter publication # drop table $',
    code: 'PUBLICATION_CHANGED',
    message: '"public"."$" is no longer in the publication',
  },
  {
    what: 'a partition whose root is published instead',
    columns: '(id int primary key, b int)',
    prepare:
      'create table $_root (id int primary key, b int) partition by range (id); alter table $_root attach partition $ for values from (0) to (10)',
    sql: 'alter publication # add table $_root',
    code: 'PUBLICATION_CHANGED',
    message: 'sends changes of "public"."$" under the name of "public"."$_root"',
  },
  {
    what: 'a primary key that is dropped',
    sql: 'alter table $ drop constraint $_pkey',
    code: 'REPLICA_IDENTITY',
    message: `refuses the application's updates and deletes of "public"."$"`,
    refused: 'update $ set b = 1 where id = 1',
  },
  {
    what: 'an index of the replica identity that is dropped',
    prepare: 'create unique index $_key on $ (id); alter table $ replica identity using index $_key',
    sql: 'drop index $_key',
    code: 'REPLICA_IDENTITY',
    message: '"public"."$" no longer has a replica identity',
    refused: 'update $ set b = 1 where id = 1',
  },
  {
    what: 'a replica identity of one partition',
    columns: '(id int primary key, b int) partition by range (id)',
    prepare:
      'create table $_low partition of $ for values from (0) to (10); create table $_high partition of $ for values from (10) to (20)',
    sql: 'alter table $_high replica identity nothing',
    code: 'REPLICA_IDENTITY',
    message: '"public"."$_high" no longer has a replica identity',
    refused: 'update $ set b = 1 where id = 11',
  },
  {
    what: 'a replica identity that becomes smaller',
    watchers: [['$', 'updated', { label: '$_moved', triggerColumns: ['b'] }]],
    prepare: 'alter table $ replica identity full',
    sql: 'alter table $ replica identity default',
    code: 'REPLICA_IDENTITY',
    message: `$_moved: PostgreSQL does not send the old value of 'b'`,
  },
  {
    what: 'a replica identity that does not go with the column list',
    since: 15,
    columnLists: true,
    sql: 'alter table $ replica identity full',
    code: 'REPLICA_IDENTITY',
    message: 'no longer fits the column list',
    refused: 'update $ set b = 1 where id = 1',
  },
  {
    what: 'a generated column that comes into the replica identity',
    since: 18,
    columns: '(id int primary key, b int, c int generated always as (b * 2) stored)',
    sql: 'alter table $ replica identity full',
    code: 'REPLICA_IDENTITY',
    message: `the stored generated column 'c', which is not published`,
    refused: 'update $ set b = 1 where id = 1',
  },
  {
    what: 'a watched column that is renamed',
    sql: 'alter table $ rename b to c',
    code: 'SCHEMA_CHANGED',
    message: `"public"."$" has no column 'b'`,
    undo: 'alter table $ rename c to b',
  },
];

const refusal = (sql: string) =>
  db.sql(sql).then(
    () => undefined,
    (error: unknown) => (error as { code: string }).code,
  );

test('each change causes one warning, is repaired by its SQL, and is then over', { timeout: 90_000 }, async () => {
  const { version } = inject('server');
  const cases = changes.filter(({ since = 14 }) => version >= since);
  const watches: { change: Change; own: (text: string) => string; watch: SlotWatch<any>; warnings: WatchError[] }[] =
    [];
  for (const [index, change] of cases.entries()) {
    const publication = slotName();
    const own = (text: string) => text.replaceAll('$', `inspected_${index}`).replaceAll('#', publication);
    await db.sql(own(`create table $ ${change.columns ?? '(id int primary key, b int)'}`));
    if (change.prepare !== undefined) await db.sql(own(change.prepare));
    const entries = change.watchers ?? [['$', 'inserted', { extraColumns: ['b'] }], ['$', 'updated'], ['$', 'deleted']]; // prettier-ignore
    const watchers = defineWatchers(JSON.parse(own(JSON.stringify(entries))) as never);
    const watch = watchOf(watchers as never, {
      slot: publication,
      publication: { name: publication, columnLists: change.columnLists ?? false },
    }) as unknown as SlotWatch<any>;
    const warnings: WatchError[] = [];
    watch.on('warning', (warning) => warnings.push(warning));
    await watch.start();
    watches.push({ change, own, watch, warnings });
  }
  await db.sql('select 1');
  expect(watches.map(({ warnings }) => warnings)).toEqual(cases.map(() => []));

  for (const { change, own } of watches) {
    for (const statement of own(change.sql).split('; ')) await db.sql(statement);
    if (change.refused !== undefined) expect([change.what, await refusal(own(change.refused))]).toEqual([change.what, expect.stringMatching(/^(55000|42P10)$/)]); // prettier-ignore
  }
  const told = () =>
    watches.map(({ change, own, warnings }) => [
      change.what,
      warnings.some(({ code, message }) => code === change.code && message.includes(own(change.message))),
    ]);
  await until(() => told().every(([, is]) => is), {
    describe: () => `a warning of ${JSON.stringify(watches.map(({ change, warnings }) => [change.what, warnings.map(({ message }) => message)]), null, 1)}`
  }); // prettier-ignore
  for (const { change, watch, warnings } of watches) {
    expect([change.what, warnings.length]).toEqual([change.what, 1]);
    expect(watch.status().state).toBe('streaming');
    expect(watch.health()).toMatchObject({ ready: true, reasons: [`${warnings[0]!.code}: ${warnings[0]!.message}`] });
  }

  for (const { change, own, warnings } of watches) {
    const text = change.undo === undefined ? warnings[0]!.solution! : `${own(change.undo)};`;
    const statements = /(BEGIN; )?(ALTER|alter) .*;/.exec(text)![0];
    await db.sql(statements);
    if (change.refused !== undefined) expect([change.what, await refusal(own(change.refused))]).toEqual([change.what, undefined]); // prettier-ignore
  }
  await until(() => watches.every(({ watch }) => watch.health().reasons.length === 0), {
    describe: () => `the end of ${JSON.stringify(watches.map(({ watch }) => watch.health().reasons))}`,
  });
  for (const { watch, warnings } of watches) {
    expect(warnings).toHaveLength(1);
    await settled(db, watch);
  }
});
