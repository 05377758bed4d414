/** The tables that `prisma migrate` makes of schema.prisma, and the replica identity that old values need. */
export const tables = `
  create table if not exists labels (id serial primary key, name text not null, color text not null);
  create table if not exists tasks (
    id serial primary key, title text not null, assigned_to text, due_at timestamptz(3)
  );
  alter table tasks replica identity full;`;
