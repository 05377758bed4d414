import { Client } from 'pg';

/** Makes what is missing, on DATABASE_URL. */
export async function createTables(): Promise<void> {
  const client = new Client(process.env['DATABASE_URL']);
  await client.connect();
  await client.query(`
    create schema if not exists walwatch_example_nats;
    create table if not exists walwatch_example_nats.users (
      id int generated always as identity primary key, email text not null, role_id int not null
    );
    -- Old values of role_id: a user that leaves a role is news to those who listen to it.
    alter table walwatch_example_nats.users replica identity full;`);
  await client.end();
}
