/** Sessions that make walwatch's own tables at the same moment, as the workers of a first deployment do. */
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { withMigration } from '../../src/postgres/migration.ts';
import { useDatabase } from '../support/database.ts';

const db = useDatabase();

test('sessions that need a table that is missing make it at the same moment, and all of them can use it', async () => {
  const clients = Array.from({ length: 8 }, () => new pg.Client(db.url));
  onTestFinished(async () => void (await Promise.all(clients.map((client) => client.end()))));
  await Promise.all(clients.map((client) => client.connect()));
  const tables = ['001_dead_letters', '002_positions', '003_existing', '004_attempts'] as const;
  // PostgreSQL reports the conflict as one of several errors. These rounds see all of them.
  for (let round = 0; round < 25; round++) {
    await db.sql('drop schema if exists walwatch cascade');
    for (const migration of tables) {
      const use = (client: pg.Client) => client.query(`select from walwatch.${migration.slice('000_'.length)}`);
      const uses = await Promise.all(
        clients.map((client) => withMigration(client, migration, true, () => use(client))),
      );
      expect(uses).toHaveLength(8);
    }
  }
});

// A loaded server did this: a session ran the file a second time, and still did not see the schema that it was in conflict with.
test('a session that is in conflict again although the other one has committed tries again', async () => {
  await db.sql('drop schema if exists walwatch cascade; create sequence conflicts');
  await db.sql(`create function conflict() returns event_trigger language plpgsql as $$
    begin
      if nextval('public.conflicts') <= 3 then raise unique_violation using message = 'simulated conflict'; end if;
    end $$`);
  await db.sql(
    `create event trigger conflict on ddl_command_start when tag in ('CREATE SCHEMA') execute function conflict()`,
  );
  const client = await db.client();
  await withMigration(client, '002_positions', true, () => client.query('select from walwatch.positions'));
  expect(await db.sql('select last_value::int as conflicts from conflicts')).toEqual([{ conflicts: 4 }]);
});
