import { Client } from 'pg';

/** Creates the schema and the table on DATABASE_URL, if they do not exist. */
export async function createTables(): Promise<void> {
  const client = new Client(process.env['DATABASE_URL']);
  await client.connect();
  await client.query(`
    create schema if not exists walwatch_example_nats;
    create table if not exists walwatch_example_nats.users (
      id int generated always as identity primary key, email text not null, role_id int not null
    );
    -- For the old value of role_id: subscribers of a role also receive the update that takes a user out of it.
    alter table walwatch_example_nats.users replica identity full;`);
  await client.end();
}
