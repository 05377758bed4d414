/** start() reports all reasons why existing rows cannot be read at once, with solutions. */
import { expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers, type ConfigurationError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { dropSlotAndPublication, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

/** A role with nothing but what a worker needs, on a publication that is there. */
async function workerOf(
  tables: readonly string[],
): Promise<{ readonly url: string; readonly role: string; readonly slot: string }> {
  const slot = slotName();
  const role = `worker_${slot}`;
  await db.sql(
    `create role ${role} login replication password 'x'; create publication "${slot}" for table ${tables.join(', ')}`,
  );
  onTestFinished(async () => {
    await dropSlotAndPublication(db, slot);
    await db.sql(`drop owned by ${role}; drop role ${role}`);
  });
  const url = new URL(db.url);
  url.username = role;
  url.password = 'x';
  return { url: url.href, role, slot };
}

test("a key's type and collation, and the table, in schemas that the role may not use are problems of the configuration", async () => {
  await db.sql(`create schema inner_types; create schema inner_tables;
    create collation inner_types.anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create type inner_types.size as enum ('small', 'large');
    create table sized (id inner_types.size, name text collate inner_types.anycase, primary key (id, name));
    create table inner_tables.plain (id int primary key)`);
  const { url, role, slot } = await workerOf(['sized', 'inner_tables.plain']);
  await db.sql(`grant select on sized, inner_tables.plain to ${role}`);
  const watch = createWatch({
    connection: url,
    slot,
    manage: 'verify',
    watchers: defineWatchers([
      ['sized', 'inserted'],
      ['inner_tables.plain', 'inserted', { label: 'plain' }],
    ]) as never,
  });
  onTestFinished(() => watch.stop());
  await db.sql(`select pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  (watch as any).subscribe(['sized:inserted', 'plain'], () => {}, { name: 'copy', existing: 'v1' });
  const error = (await watch.start().catch((refused: unknown) => refused)) as ConfigurationError;
  const own = error.issues.filter(({ table }) => table !== 'walwatch.existing');
  expect(own).toEqual([
    expect.objectContaining({
      message: `existing: the role '${role}' may not use the schema "inner_types", which has the type, the collation or the operators of a key of "public"."sized"`,
      solution: `GRANT USAGE ON SCHEMA "inner_types" TO "${role}";`,
    }),
    expect.objectContaining({ message: `existing: the role '${role}' may not read "inner_tables"."plain"` }),
  ]);
  expect(own[1]!.solution).toContain('GRANT USAGE ON SCHEMA "inner_tables"');
});

test('a role that may not read, row-level security and a missing table of ours are problems of the configuration', async () => {
  await db.sql(`create table secrets (id int primary key, note text); create table secured (id int primary key);
                alter table secured enable row level security; drop table if exists walwatch.existing`);
  const { url, role, slot } = await workerOf(['secrets', 'secured']);
  await db.sql(`grant select on secured to ${role}`);
  const watch = createWatch({
    connection: url,
    slot,
    manage: 'verify',
    watchers: defineWatchers([
      ['secrets', 'inserted', { extraColumns: ['note'] }],
      ['secured', 'inserted'],
    ]) as never,
  });
  onTestFinished(() => watch.stop());
  await db.sql(`select pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  (watch as any).subscribe(['secrets:inserted', 'secured:inserted'], () => {}, { name: 'copy', existing: 'v1' });
  const error = (await watch.start().catch((refused: unknown) => refused)) as ConfigurationError;
  expect(error).toMatchObject({ code: 'CONFIGURATION' });
  expect(error.issues.map(({ message }) => message)).toEqual([
    `existing stores its progress in the table walwatch.existing, which role '${role}' can neither use nor create`,
    `existing: the role '${role}' may not read "public"."secrets"`,
    `existing: row-level security hides rows of "public"."secured" from the role '${role}'`,
  ]);
  const [state, secrets, secured] = error.issues.map(({ solution }) => solution!);
  expect(state).toContain(`GRANT SELECT, INSERT, UPDATE ON walwatch.existing TO "${role}"`);
  expect(secrets).toContain(`GRANT SELECT ("id", "note") ON "public"."secrets" TO "${role}";`);
  expect(secured).toContain(`ALTER ROLE "${role}" BYPASSRLS;`);
  // What the solutions say is enough.
  for (const solution of [state!, secrets!]) await db.sql(solution.slice(solution.search(/CREATE SCHEMA|GRANT|DO /)));
  await db.sql(`alter role ${role} bypassrls`);
  await db.sql('insert into secrets values (1, null); insert into secured values (2)');
  const second = createWatch({
    connection: url,
    slot,
    manage: 'verify',
    watchers: defineWatchers([
      ['secrets', 'inserted', { extraColumns: ['note'] }],
      ['secured', 'inserted'],
    ]) as never,
  });
  onTestFinished(() => second.stop());
  const seen: unknown[] = [];
  const subscription = (second as any).subscribe(
    ['secrets:inserted', 'secured:inserted'],
    ({ event, context }: any) => void (context.existing && seen.push(event.id)),
    {
      name: 'copy',
      existing: 'v1',
    },
  );
  await second.start();
  await subscription.existing.done;
  expect(seen).toEqual([1, 2]);
});

test('a table of ours that belongs to a stranger is refused', async () => {
  await db.sql(`create table plain (id int primary key); create schema if not exists walwatch; create role mallory;
                drop table if exists walwatch.existing; grant create on schema walwatch to mallory;
                set role mallory; create table walwatch.existing (slot text); reset role`);
  onTestFinished(async () => {
    await db.sql('drop owned by mallory; drop role mallory');
  });
  const watch = watchOf(defineWatchers<{ plain: { id: number } }>()([['plain', 'inserted']]));
  watch.subscribe('plain:inserted', () => {}, { name: 'copy', existing: 'v1' });
  await expect(watch.start()).rejects.toMatchObject({
    code: 'CONFIGURATION',
    message: expect.stringMatching(/walwatch.existing.*belongs to the role 'mallory'/),
  });
});

test.each([
  ['no name', { existing: 'v1' }, /without a name/],
  ['an empty version', { name: 'a', existing: '' }, /existing.version is ""/],
  ['a version that PostgreSQL cannot store', { name: 'a', existing: 'v\0' }, /existing.version is "v/],
  ['a name that PostgreSQL cannot store', { name: 'a\0', existing: 'v1' }, /name must be/],
  ['an unknown option', { name: 'a', existing: { version: 'v1', size: 3 } }, /size/],
  ['a chunk of no rows', { name: 'a', existing: { version: 'v1', chunk: 0 } }, /existing.chunk is 0/],
])('%s is refused by subscribe()', (_, options, message) => {
  const watch = watchOf(defineWatchers<{ plain: { id: number } }>()([['plain', 'inserted']])) as any;
  expect(() => watch.subscribe('plain:inserted', () => {}, options)).toThrow(message);
});

test.each([
  ['a temporary slot', { slot: { name: 'temporary', temporary: true } }, /temporary/],
  ["visibility: 'immediate'", { visibility: 'immediate' }, /visibility/],
])('%s is refused by subscribe()', (_, options, message) => {
  const watch = createWatch({
    connection: db.url,
    slot: 'x',
    watchers: defineWatchers([['plain', 'inserted']]),
    ...options,
  } as any) as any;
  expect(() => watch.subscribe('plain:inserted', () => {}, { name: 'a', existing: 'v1' })).toThrow(message);
});

test('an iterator that reads existing rows keeps its name, also if dead letters are stored under it', () => {
  const watchers = defineWatchers<{ plain: { id: number } }>()([['plain', 'inserted']]);
  const watch = watchOf(watchers, { onError: { attempts: 3, then: 'deadLetter' } });
  watch.events('plain:inserted', { name: 'copy', existing: 'v1' });
  expect(watch.status().existing).toMatchObject([{ subscription: 'copy' }]);
});

test('a second subscription with existing and the same name is refused, because both would store their progress under it', () => {
  const watch = watchOf(defineWatchers<{ plain: { id: number } }>()([['plain', 'inserted']]));
  const options = { name: 'copy', existing: 'v1' } as const;
  const first = watch.subscribe('plain:inserted', () => {}, options);
  expect(() => watch.subscribe('plain:inserted', () => {}, options)).toThrow("two subscriptions have the name 'copy'");
  expect(() => watch.events('plain:inserted', options)).toThrow("two subscriptions have the name 'copy'");
  watch.subscribe('plain:inserted', () => {}, { name: 'copy' }); // stores nothing
  first.unsubscribe();
  watch.subscribe('plain:inserted', () => {}, options);
});
