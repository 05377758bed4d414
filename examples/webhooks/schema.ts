export interface DB {
  'example.invoices': { id: number; customer: string; state: string };
}

export const tables = `
  create table if not exists invoices (
    id int generated always as identity primary key, customer text not null, state text not null default 'open'
  );
  -- invoice_state_changed compares old and new values.
  alter table invoices replica identity full;`;
