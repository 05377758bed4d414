/** setup that is interrupted, or that the database or its role does not allow: it changes nothing. */
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { cli, startCli } from '../support/cli.ts';
import { useDatabase } from '../support/database.ts';
import { configured, settingUp } from '../support/setting-up.ts';
import { until } from '../support/until.ts';

const db = useDatabase();
const { name, identity, state } = settingUp(db);

beforeAll(() => db.sql('create table bare (line text)'));
beforeEach(() => db.sql('alter table users replica identity default'));

describe('setup', () => {
  test('undoes its changes at Ctrl-C, which npx turns into two signals', async () => {
    const slot = name();
    const writer = await db.client();
    await writer.query(`begin; insert into roles (name) values ('x')`);
    const running = startCli(['setup', '--yes'], { url: db.url, cwd: await configured(slot) });
    const waiting = `select from pg_replication_slots where slot_name = '${slot}' and confirmed_flush_lsn is null`;
    await until(async () => (await db.sql(waiting)).length > 0, {
      describe: 'the slot to wait for the writer',
    });
    running.child.kill('SIGINT');
    await new Promise(setImmediate);
    running.child.kill('SIGINT');
    expect(await running.ended).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('cancelled; undoing all changes'),
    });
    await writer.query('rollback');
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
    expect(await identity('users')).toBe('d');
  });

  test('reports all problems at once before it changes anything', async () => {
    const slot = name();
    const args = [
      'setup',
      'bare:updated',
      'users:updated',
      'nowhere:deleted',
      '--columns',
      'no_column',
      '--slot',
      slot,
      '--yes',
    ];
    const { code, stdout, stderr } = await cli(args, { url: db.url });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('"public"."bare" has no primary key');
    expect(stderr).toContain(`"public"."users" has no column 'no_column'`);
    expect(stderr).toContain('table "public"."nowhere" does not exist');
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
  });

  test('does not re-create a lost slot silently; teardown and setup do', async () => {
    const slot = name();
    const options = { url: db.url, cwd: await configured(slot) };
    await cli(['setup', '--yes'], options);
    await db.dropSlot(slot);
    const { code, stderr } = await cli(['setup', '--yes'], options);
    expect(code).toBe(1);
    expect(stderr).toContain(`SLOT_LOST: the slot '${slot}' was dropped`);
    expect((await cli(['teardown', '--yes'], options)).code).toBe(0);
    expect((await cli(['setup', '--yes'], options)).code).toBe(0);
    await state(slot);
  });

  test('without the rights, it suggests that the owner runs the output of --print', async () => {
    const slot = name();
    const role = `cli_${slot}`;
    await db.sql(`create role ${role} login replication`);
    onTestFinished(() => db.sql(`drop role ${role}`).then(() => {}));
    const url = new URL(db.url);
    url.username = role;
    const { code, stderr } = await cli(['setup', '--yes'], { url: url.href, cwd: await configured(slot) });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^walwatch: PERMISSION: must be owner of table users\n.*walwatch setup --print/);
  });
});
