import type { ColumnType, Generated } from 'kysely';

/** Kysely's `Database` interface, written by hand or by kysely-codegen. Pass it to `defineWatchers<DB>()` unchanged. */
export interface DB {
  'example.people': {
    id: Generated<number>;
    name: string;
    email: string | null;
    team_id: number | null;
    created_at: ColumnType<Date, string | undefined, never>;
  };
}

export const tables = `
  create table if not exists people (
    id int generated always as identity primary key,
    name text not null, email text, team_id int, created_at timestamptz not null default now()
  );
  alter table people replica identity full;`;
