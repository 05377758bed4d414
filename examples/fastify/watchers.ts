import { defineWatchers } from 'walwatch';

export interface Product {
  id: number;
  name: string;
  price: string;
}

export const watchers = defineWatchers<{ 'example.products': Product }>()([
  ['example.products', 'updated'],
  ['example.products', 'deleted'],
]);

export const tables = `
  create table if not exists products (
    id int generated always as identity primary key, name text not null, price numeric not null
  );
  insert into products (name, price) select 'Tea', 4.50 where not exists (select from products);`;
