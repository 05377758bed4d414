/** Prisma's model types as watchers: directly, or through `columnMap` where the schema says `@map`. */
import { PrismaPg } from '@prisma/adapter-pg';
import { createWatch, defineWatchers, table } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import { type Label, PrismaClient, type Task } from './generated/client.ts';
import { tables } from './tables.ts';

await using database = await openDatabase(tables);
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: database.url }) });

// `@map`: the names of the model's fields are not those of the columns.
const tasks = table<Task>()({
  schema: 'example',
  tableName: 'tasks',
  primaryKey: 'id',
  columnMap: { assignedTo: 'assigned_to', dueAt: 'due_at' },
});

// No `@map` on its fields: the model is the row. The key is the table's name, as `@@map` and `@@schema` have it.
const watchers = defineWatchers<{ 'example.labels': Label }>()([
  ['example.labels', 'inserted', { extraColumns: ['color'] }],
  [tasks, 'inserted', { extraColumns: ['dueAt'] }],
  [tasks, 'updated', { label: 'task_assigned', triggerColumns: ['assignedTo'], extraColumns: ['assignedTo'] }],
]);

const watch = createWatch({ connection: database.url, slot: 'example_prisma', watchers });

watch.subscribe('example.labels:inserted', ({ id, color }) => console.log('label', id, color));
watch.subscribe('example.tasks:inserted', async ({ id, dueAt }) => {
  const task = await prisma.task.findUnique({ where: { id } });
  console.log('task', id, task?.title ?? 'which is deleted by now', dueAt?.toISOString() ?? 'no date');
});
watch.subscribe('task_assigned', ({ id, assignedTo }, { previous }) => {
  console.log('assigned', id, assignedTo, 'was', previous.assignedTo);
});

console.log('Ctrl-C stops it');
// Waited for only because this program makes the changes itself. A server would not: docs/operations.md, "Start without waiting".
await Promise.race([watch.start(), interrupted]);

// What another program would do.
await prisma.label.create({ data: { name: 'urgent', color: 'red' } });
const { id } = await prisma.task.create({
  data: { title: 'Write guides', dueAt: new Date('2026-12-01T00:00:00Z') },
});
await prisma.task.update({ where: { id }, data: { assignedTo: 'ada' } });

await Promise.race([watch.closed, interrupted]);
await watch.stop();
await prisma.$disconnect();
