/** The tables as TypeScript types. A Kysely `Database` interface has the same shape. */
export interface DB {
  'walwatch_example.roles': { id: number; name: string };
  'walwatch_example.users': {
    id: number;
    name: string;
    email: string | null;
    phone: string | null;
    role_id: number | null;
  };
  'walwatch_example.packages': { id: number; name: string; user_id: number | null };
}

/** Creates everything that does not exist yet. */
export const tables = `
  create schema if not exists walwatch_example;
  set search_path to walwatch_example;

  create table if not exists roles (id int primary key, name text not null);
  create table if not exists users (
    id int generated always as identity primary key,
    name text not null, email text, phone text, role_id int references roles
  );
  create table if not exists packages (
    id int generated always as identity primary key,
    name text not null, user_id int references users on delete cascade
  );
  insert into roles values (1, 'admin'), (2, 'member'), (3, 'guest') on conflict do nothing;

  -- contact_changed compares old and new values, and users:deleted has a name: both need the whole old row.
  alter table users replica identity full;`;

/** The role that runs the SQL of the page's form. */
export const pageRole = 'walwatch_example_page';

export const rightsOfPage = `
  do $$ begin create role ${pageRole} login; exception when duplicate_object then null; end $$;
  grant usage on schema walwatch_example to ${pageRole};
  grant select, insert, update, delete on all tables in schema walwatch_example to ${pageRole};
  alter role ${pageRole} set search_path to walwatch_example;
  alter role ${pageRole} set statement_timeout to '5s';`;
