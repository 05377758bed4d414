/** Prisma's model types as watchers: directly, or through `columnMap` where the schema has `@map`. */
import { Pool } from 'pg';
import { createWatch, defineWatchers, table } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import type { Label, Task } from './model.ts';
import { tables } from './tables.ts';

await using database = await openDatabase(tables);
const pool = new Pool({ connectionString: database.url }); // in your project: your PrismaClient

// With `@map`, the fields of the model have other names than the columns.
const tasks = table<Task>()({
  schema: 'example',
  tableName: 'tasks',
  primaryKey: 'id',
  columnMap: { assignedTo: 'assigned_to', dueAt: 'due_at' },
});

// Without `@map` on its fields, the model is the row. The key is the table's name, as in `@@map` and `@@schema`.
const watchers = defineWatchers<{ 'example.labels': Label }>()([
  ['example.labels', 'inserted', { extraColumns: ['color'] }],
  [tasks, 'inserted', { extraColumns: ['dueAt'] }],
  [tasks, 'updated', { label: 'task_assigned', triggerColumns: ['assignedTo'], extraColumns: ['assignedTo'] }],
]);

const watch = createWatch({ connection: database.url, slot: 'example_prisma', watchers });

watch.subscribe('example.labels:inserted', ({ id, color }) => console.log('label', id, color));
watch.subscribe('example.tasks:inserted', async ({ id, dueAt }) => {
  // With Prisma: await prisma.task.findUnique({ where: { id } })
  const { rows } = await pool.query<{ title: string }>('select title from example.tasks where id = $1', [id]);
  console.log('task', id, rows[0]?.title ?? '(already deleted)', dueAt?.toISOString() ?? 'no date');
});
watch.subscribe('task_assigned', ({ id, assignedTo }, { previous }) => {
  console.log('assigned', id, assignedTo, 'was', previous.assignedTo);
});

console.log('press Ctrl-C to stop');
// Awaited only because this program makes the changes itself. A server does not wait: see docs/how-to/deploy.md.
await Promise.race([watch.start(), interrupted]);

// Changes that another program would make.
await pool.query(`insert into example.labels (name, color) values ('urgent', 'red')`);
const { rows } = await pool.query<{ id: number }>(
  `insert into example.tasks (title, due_at) values ('Write guides', '2026-12-01T00:00:00Z') returning id`,
);
await pool.query(`update example.tasks set assigned_to = 'ada' where id = $1`, [rows[0]!.id]);

await Promise.race([watch.closed, interrupted]);
await watch.stop();
await pool.end();
