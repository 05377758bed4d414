export interface DB {
  'example.articles': { id: number; author_id: number; title: string };
}

export const tables = `
  create table if not exists articles (
    id int generated always as identity primary key, author_id int not null, title text not null
  );
  -- Deleting an article, or moving it to another author, changes the old author's list. That needs the old author_id.
  alter table articles replica identity full;
  insert into articles (author_id, title) select 1, 'On slots' where not exists (select from articles);`;
