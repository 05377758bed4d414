export interface DB {
  'example.books': { id: number; title: string; summary: string };
}

export const tables = `
  create table if not exists books (
    id int generated always as identity primary key, title text not null, summary text not null
  );
  -- Without it an update does not carry a long summary that it left unchanged.
  alter table books replica identity full;
  insert into books (title, summary) select 'Moby-Dick', 'A captain hunts a whale.' where not exists (select from books);`;
