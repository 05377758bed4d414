/** Exports that a project may have. `declarations.test.ts` and scripts/try-types.mjs make declarations from them. */
import { bigint, pgSchema, pgTable, pgTableCreator, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { ColumnType, Generated } from 'kysely';
import { createWatch, defineConfig, defineWatchers, table } from 'walwatch';
import { createClient } from 'walwatch/client';
import { createRemoteWatch } from 'walwatch/nats';
import { createOutbox } from 'walwatch/outbox';
import { createHooks } from 'walwatch/react';
import { sse } from 'walwatch/sse';
import { createTestWatch } from 'walwatch/testing';

export interface DB {
  users: { id: Generated<number>; email: string; role_id: number | null; seen_at: ColumnType<Date, string, never> };
  'billing.invoices': { id: string; total: ColumnType<bigint, bigint, bigint> };
}
export interface Line {
  order_id: number;
  line: number;
  qty: number;
}

export interface Messages {
  'order.placed': { id: number; total: string };
}

export const lines = table<Line>()({ tableName: 'Order Lines', schema: 'erp', primaryKey: ['order_id', 'line'] });
export const posts = pgTable('posts', { id: bigint({ mode: 'bigint' }).primaryKey(), authorId: uuid('author_id') });
export const tags = pgTableCreator((name) => `app_${name}`)('tags', { id: text().primaryKey() });
export const stock = pgSchema('erp').table('stock', { part: text(), place: text() }, (own) => [
  primaryKey({ columns: [own.part, own.place] }),
]);
export const stockByKey = table(stock)({ primaryKey: ['part', 'place'] });

export const watchers = defineWatchers<DB>()(
  [
    ['users', 'inserted'],
    ['users', 'updated', { extraColumns: ['email', 'role_id', 'seen_at'] }],
    ['users', 'updated', { label: 'contact_changed', triggerColumns: ['email'], absent: 'omit' }],
    ['users', 'truncated'],
    ['billing.invoices', 'deleted', { extraColumns: ['total'] }],
    [lines, 'updated', { extraColumns: ['qty'] }],
    [posts, 'updated', { extraColumns: ['authorId'] }],
    [tags, 'inserted'],
    [stockByKey, 'deleted'],
  ],
  { when: { contact_changed: (event) => event.id > 0 } },
);
export const untyped = defineWatchers([
  ['users', 'updated', { extraColumns: ['email'] }],
  [lines, 'deleted'],
]);
export const camel = defineWatchers<{ userAccounts: { id: number } }>()([['userAccounts', 'updated']], {
  naming: 'camelCase',
});

export const config = defineConfig({ slot: 'worker', watchers });
export const watch = createWatch({ connection: 'postgres://localhost/none', slot: 'worker', watchers });
export const untypedWatch = createWatch({ connection: 'postgres://localhost/none', slot: 'worker', watchers: untyped });
export const remote = createRemoteWatch({
  connection: { publish() {}, subscribe() {}, status() {}, closed() {} },
  stream: 'accounts',
  watchers,
});
export const subscription = watch.subscribe('users:updated', { role_id: 7 }, (event, context) => [event, context]);
export const batches = remote.subscribe('users:updated', (events) => events.length, { batch: { size: 2 } });
export const changes = () => watch.events('posts:updated');
export const status = () => watch.status();
export const heldBy = () => watch.status().heldBy;
export const receiving = () => watch.status().receiving;
export const details = () => watch.details('users:updated');
export const letters = () => watch.deadLetters.list();
export const handler = sse(watch, { authorize: () => true });
export const testWatch = createTestWatch(watchers);
export const delivered = () => testWatch.deliver('users:inserted', { id: 1 });
export const client = createClient<typeof watchers>({ url: '/live' });
export const { useWatch, useLive } = createHooks(client);
export const outbox = createOutbox<Messages>();
export const placed = outbox.message('order.placed');
