/** A foreign slot or publication, or a forged comment, does not make teardown and setup do more than was confirmed. */
import { expect, onTestFinished, test } from 'vitest';
import { cli, startOnTerminal } from '../support/cli.ts';
import { useDatabase } from '../support/database.ts';
import { existingOf, nameOn } from '../support/watching.ts';

const db = useDatabase();

const name = () => nameOn(db);
const exists = (slot: string) => existingOf(db, slot);
const makeSlot = (slot: string) => db.sql(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
const run = (slot: string, ...flags: string[]) => cli(['teardown', '--slot', slot, ...flags], { url: db.url });
const identities = () =>
  db.sql(
    `select relname::text as name, relreplident::text as identity from pg_class where relname in ('users', 'packages') order by 1`,
  );

test('a slot without a walwatch marker is dropped only after explicit confirmation', async () => {
  const slot = name();
  await makeSlot(slot);
  await db.sql(`create publication "${slot}" for table users`);
  for (const flags of [[], ['--yes'], ['--print']]) {
    const { code, stdout, stderr } = await run(slot, ...flags);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(`the slot '${slot}' has no walwatch marker and may belong to another program`);
    expect(stderr).toContain('--force');
  }
  const refused = startOnTerminal(['teardown', '--slot', slot], { url: db.url });
  await refused.says(/pg_drop_replication_slot[^]*has no walwatch marker[^]*Run this\?/);
  refused.type('n\n');
  expect((await refused.ended).code).toBe(1);
  expect(await exists(slot)).toEqual({ slot: true, publication: true });
  expect((await run(slot, '--print', '--force')).stdout).toContain(`pg_drop_replication_slot('${slot}')`);
  expect(await run(slot, '--yes', '--force')).toMatchObject({ code: 0 });
  expect(await exists(slot)).toEqual({ slot: false, publication: true });
});

test('a forged marker in a comment is not trusted', async () => {
  const [slot, other] = [name(), name()];
  await cli(['setup', 'users:inserted', '--slot', other, '--yes'], { url: db.url });
  const [{ comment }] = (await db.sql<{ comment: string }>(
    `select obj_description(oid, 'pg_publication') as comment from pg_publication where pubname = $1`, [other],
  )) as [{ comment: string }]; // prettier-ignore
  await makeSlot(slot);
  const role = `mallory_${slot}`;
  await db.sql(
    `create role ${role} login; grant create on database "${db.name}" to ${role}; grant create on schema public to ${role}`,
  );
  onTestFinished(async () => {
    await db.sql(`drop publication if exists "${slot}"; drop owned by ${role}; drop role ${role}`);
  });
  const mallory = await db.client();
  await mallory.query(`set role ${role}; create publication "${slot}"`);
  const forge = (text: string) =>
    mallory.query(
      `comment on publication "${slot}" is '${text.replaceAll(`"${other}"`, `"${slot}"`).replaceAll("'", "''")}'`,
    );
  const [{ oid }] = (await db.sql<{ oid: string }>('select oid::text from pg_publication where pubname = $1', [
    slot,
  ])) as [{ oid: string }];
  // A copy of a real marker, and one with correct values: the owner is still another role.
  for (const text of [comment, comment.replace(/"publicationOid":\d+/, `"publicationOid":${oid}`)]) {
    await forge(text);
    const { code, stderr } = await run(slot, '--yes');
    expect(code).toBe(2);
    expect(stderr).toContain('is in a publication of another role, which may have written it');
    expect(await exists(slot)).toEqual({ slot: true, publication: true });
  }
  // The publication stays even if the slot may be dropped.
  expect((await run(slot, '--yes', '--force')).code).toBe(0);
  expect(await exists(slot)).toEqual({ slot: false, publication: true });
  await mallory.query(`drop publication "${slot}"`);
  // A copied marker in our own publication belongs to another publication.
  await makeSlot(slot);
  await db.sql(`create publication "${slot}"`);
  await db.sql(`comment on publication "${slot}" is '${comment.replaceAll(`"${other}"`, `"${slot}"`)}'`);
  expect(await run(slot, '--yes')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('belongs to another server, database or publication'),
  });
  expect(await exists(slot)).toEqual({ slot: true, publication: true });
});

test('no comment makes teardown alter a table', async () => {
  const slot = name();
  await cli(['setup', 'users:inserted', '--slot', slot, '--yes'], { url: db.url });
  await db.sql(`do $$ declare c text; begin
    select obj_description(oid, 'pg_publication') into c from pg_publication where pubname = '${slot}';
    execute format('comment on publication %I is %L', '${slot}', replace(c, '"version":1', '"version":1,"identities":{"public.packages":"full","packages":"full"}'));
  end $$`);
  const before = await identities();
  const { stdout, code } = await run(slot, '--yes');
  expect(code).toBe(0);
  expect(stdout).not.toContain('ALTER');
  expect(await identities()).toEqual(before);
});
