import { type ChangeOf, defineWatchers } from 'walwatch';
import type { DB } from './schema.ts';

export const watchers = defineWatchers<DB>()([
  ['example.books', ['inserted', 'updated'], { extraColumns: ['title', 'summary'] }],
  ['example.books', 'deleted'],
  ['example.books', 'truncated'],
]);

export type BookChange = ChangeOf<typeof watchers>;
