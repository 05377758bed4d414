/** Kysely's `Database` interface types the watchers; events have the types that a select returns. */
import { Kysely, PostgresDialect } from 'kysely';
import { Pool } from 'pg';
import { createWatch, defineWatchers } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import { type DB, tables } from './schema.ts';

await using database = await openDatabase(tables);
const db = new Kysely<DB>({
  dialect: new PostgresDialect({ pool: new Pool({ connectionString: database.url }) }),
});

const watchers = defineWatchers<DB>()([
  ['example.people', 'inserted', { extraColumns: ['created_at'] }],
  ['example.people', 'updated', { extraColumns: ['team_id'] }],
  ['example.people', 'updated', { label: 'email_changed', triggerColumns: ['email'], extraColumns: ['email'] }],
]);

const watch = createWatch({ connection: database.url, slot: 'example_kysely', watchers });

watch.subscribe('example.people:inserted', async ({ id, created_at }) => {
  const person = await db.selectFrom('example.people').select('name').where('id', '=', id).executeTakeFirst();
  console.log('inserted', id, person?.name ?? 'who is deleted by now', created_at.getUTCFullYear());
});
watch.subscribe('email_changed', ({ id, email }, { previous }) => {
  console.log('email', id, email, 'was', previous.email);
});
// Those who come to team 3 or leave it: an update goes to the old value's subscribers and to the new one's.
watch.subscribe('example.people:updated', { team_id: 3 }, ({ id, team_id }) => {
  console.log(team_id === 3 ? 'in team 3' : 'left team 3', id);
});

console.log('Ctrl-C stops it');
// Waited for only because this program makes the changes itself. A server would not: docs/operations.md, "Start without waiting".
await Promise.race([watch.start(), interrupted]);

// What another program would do.
const { id } = await db
  .insertInto('example.people')
  .values({ name: 'Ada', email: 'ada@example.org', team_id: 3 })
  .returning('id')
  .executeTakeFirstOrThrow();
await db.updateTable('example.people').set({ email: 'countess@example.org' }).where('id', '=', id).execute();
await db.updateTable('example.people').set({ team_id: 4 }).where('id', '=', id).execute();

await Promise.race([watch.closed, interrupted]);
await watch.stop();
await db.destroy();
