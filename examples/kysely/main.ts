/** Kysely's `Database` interface is the type of the watchers. Events have the types that a `select` returns. */
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
  console.log('inserted', id, person?.name ?? '(already deleted)', created_at.getUTCFullYear());
});
watch.subscribe('email_changed', ({ id, email }, { previous }) => {
  console.log('email', id, email, 'was', previous.email);
});
// People who join or leave team 3: an update is delivered to subscribers of the old value and of the new value.
watch.subscribe('example.people:updated', { team_id: 3 }, ({ id, team_id }) => {
  console.log(team_id === 3 ? 'in team 3' : 'left team 3', id);
});

console.log('press Ctrl-C to stop');
// Awaited only because this program makes the changes itself. A server does not wait: see docs/how-to/deploy.md.
await Promise.race([watch.start(), interrupted]);

// Changes that another program would make.
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
