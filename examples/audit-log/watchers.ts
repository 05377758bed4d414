import { type ChangeOf, defineWatchers } from 'walwatch';
import type { DB } from './schema.ts';

export const watchers = defineWatchers<DB>()([
  ['example.accounts', ['inserted', 'updated', 'deleted'], { extraColumns: ['email', 'credit_limit'] }],
  ['example.orders', ['inserted', 'updated', 'deleted'], { extraColumns: ['account_id', 'state', 'total'] }],
  ['example.accounts', 'truncated'],
  ['example.orders', 'truncated'],
]);

export type AuditedChange = ChangeOf<typeof watchers>;
