/** teardown: it removes what walwatch created, and nothing else. */
import { beforeEach, describe, expect, test } from 'vitest';
import { createWatch } from '../../src/index.ts';
import { cli, onTerminal, startOnTerminal } from '../support/cli.ts';
import { useDatabase } from '../support/database.ts';
import { configured, settingUp, watchers } from '../support/setting-up.ts';
import { until } from '../support/until.ts';

const db = useDatabase();
const { name, identity } = settingUp(db);

beforeEach(() => db.sql('alter table users replica identity default'));

describe('teardown', () => {
  test('drops slot and publication, keeps replica identities, and can run again', async () => {
    const slot = name();
    const options = { url: db.url, cwd: await configured(slot) };
    await cli(['setup', '--yes'], options);
    const { code, stdout } = await cli(['teardown', '--yes'], options);
    expect(code).toBe(0);
    expect(stdout).toContain(`SELECT pg_catalog.pg_drop_replication_slot('${slot}');\nDROP PUBLICATION "${slot}";`);
    expect(await identity('users')).toBe('f');
    expect(await db.sql('select from pg_replication_slots where slot_name = $1', [slot])).toEqual([]);
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
    const again = await cli(['teardown', '--yes'], options);
    expect(again).toMatchObject({ code: 0, stdout: `✓ nothing to do: the slot '${slot}' does not exist.\n` });
  });

  test('keeps a publication that walwatch did not create, and removes its marker', async () => {
    const slot = name();
    const options = { url: db.url, cwd: await configured(slot) };
    await db.sql(`create publication "${slot}" for table roles; comment on publication "${slot}" is 'of the DBA'`);
    // setup adds tables to it, because its SQL was shown. That does not allow teardown to drop the publication.
    await cli(['setup', '--yes'], options);
    const { code, stdout } = await cli(['teardown', '--yes'], options);
    expect(code).toBe(0);
    expect(stdout).toContain('-- The publication stays, because walwatch did not create it.');
    const [left] = await db.sql(
      `select obj_description(oid, 'pg_publication') as comment,
              (select string_agg(tablename, ' ' order by tablename) from pg_publication_tables where pubname = $1) as tables
       from pg_publication where pubname = $1`,
      [slot],
    );
    expect(left!['comment']).toMatch(/^of the DBA/);
    expect(left!['comment']).not.toContain('"slot"');
    expect(left!['tables']).toBe('packages roles users');
    expect((await cli(['teardown', '--yes'], options)).stdout).toBe(
      `✓ nothing to do: the slot '${slot}' does not exist.\n`,
    );
  });

  test('keeps a publication that another slot uses', async () => {
    const [first, second] = [name(), name()];
    await cli(['setup', '--yes'], { url: db.url, cwd: await configured(first) });
    await cli(['setup', '--yes'], { url: db.url, cwd: await configured(second, `publication: '${first}'`) });
    const { stdout } = await cli(['teardown', '--yes'], { url: db.url, cwd: await configured(first) });
    expect(stdout).not.toContain('DROP PUBLICATION');
    const [left] = await db.sql(
      `select obj_description(oid, 'pg_publication') as comment from pg_publication where pubname = $1`, [first],
    ); // prettier-ignore
    expect(left!['comment']).toContain(`"slot":"${second}"`);
    expect(left!['comment']).not.toContain(`"slot":"${first}"`);
    const last = await cli(['teardown', '--yes'], {
      url: db.url,
      cwd: await configured(second, `publication: '${first}'`),
    });
    expect(last.stdout).toContain('DROP PUBLICATION');
    expect(last.code).toBe(0);
  });

  test('refuses while a worker has the slot, and asks on a terminal', async () => {
    const slot = name();
    const options = { url: db.url, cwd: await configured(slot) };
    await cli(['setup', '--yes'], options);
    const worker = createWatch({ connection: db.url, slot, watchers });
    await worker.start();
    const refused = await cli(['teardown', '--yes'], options);
    await worker.stop();
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/SLOT_ACTIVE: a worker has the slot .* \(process \d+\)\n {2}-- Stop it first/);
    await until(
      async () =>
        (await db.sql('select from pg_replication_slots where slot_name = $1 and not active', [slot])).length > 0,
      { describe: 'the worker to disconnect' },
    );
    const printed = await cli(['teardown', '--print'], options);
    expect(printed).toMatchObject({ code: 0, stdout: expect.stringContaining('DROP PUBLICATION'), stderr: '' });
    const asked = startOnTerminal(['teardown'], options);
    await asked.says(/Run this\?/);
    asked.type('y\n');
    expect((await asked.ended).code).toBe(0);
    expect(await onTerminal(['teardown'], options)).toMatchObject({ code: 0 });
  });
});
