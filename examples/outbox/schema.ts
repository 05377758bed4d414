import type { Generated } from 'kysely';

export interface DB {
  'example.shop_orders': { id: Generated<number>; email: string; total: string };
}

export const tables = `
  create table if not exists shop_orders (
    id int generated always as identity primary key, email text not null, total numeric(12, 2) not null
  );`;
