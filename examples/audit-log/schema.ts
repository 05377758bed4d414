export interface DB {
  'example.accounts': { id: number; email: string; credit_limit: string };
  'example.orders': { id: number; account_id: number; state: string; total: string };
}

export const tables = `
  create table if not exists accounts (
    id int generated always as identity primary key, email text not null, credit_limit numeric(12, 2) not null
  );
  create table if not exists orders (
    id int generated always as identity primary key, account_id int not null references accounts,
    state text not null default 'open', total numeric(12, 2) not null
  );
  -- The WAL has old values only with this.
  alter table accounts replica identity full;
  alter table orders replica identity full;

  -- One worker writes it, in commit order. So the order of ids is the order of the changes.
  create table if not exists audit_log (
    id bigint generated always as identity primary key,
    event_id text not null, xid bigint not null, committed_at timestamptz not null,
    actor text, request_id text,
    table_name text not null, row_id text, operation text not null,
    old_values jsonb not null, new_values jsonb not null
  );
  create index if not exists audit_log_record on audit_log (table_name, row_id, id);
  create index if not exists audit_log_actor on audit_log (actor, id);`;
