import { defineWatchers } from 'walwatch';

export interface DB {
  'example.orders': { id: number; customer: string; status: string };
}

export const watchers = defineWatchers<DB>()([
  ['example.orders', 'inserted'],
  ['example.orders', 'updated', { extraColumns: ['status'] }],
]);

export const tables = `
  create table if not exists orders (
    id int generated always as identity primary key, customer text not null, status text not null default 'new'
  );`;
