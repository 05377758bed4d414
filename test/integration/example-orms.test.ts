/** examples/drizzle, kysely and prisma: each writes rows, receives the events, and reads the row in a handler. */
import { expect, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { startExample } from '../support/example.ts';
import { inSession } from '../support/template.ts';

const database = useDatabase();
const start = (name: string) => startExample(name, { environment: { DATABASE_URL: database.url } });

test('drizzle: events have property names and Drizzle’s values; a row exists when its handler selects it', async () => {
  const example = start('drizzle');
  await example.line(/inserted 1 On slots\n/);
  await example.line(/published 1 20\d\d-\d\d-\d\dT\S+Z was null\n/);
  await database.sql(`insert into example.posts (author_id, title) values (8, 'another author')`);
  await example.line(/inserted 2 another author\n/);
  await database.sql('delete from example.posts where author_id = 8');
  await database.sql('delete from example.posts where author_id = 7');
  const deleted = await example.line(/deleted (\d+) of author/);
  expect(deleted[1]).toBe('1'); // the subscription by authorId excludes the other one
  expect(await example.end('SIGTERM')).toBe(0);
  await database.dropSlot('example_drizzle');
});

test('without DATABASE_URL an example starts a temporary server, which ends with the example', async () => {
  const example = startExample('drizzle', { environment: { DATABASE_URL: '' } });
  const [, url] = await example.line(/database: (postgres:\S+),/);
  await example.line(/published 1 /);
  await inSession(url!, (client) => client.query('delete from example.posts'));
  await example.line(/deleted 1 of author 7\n/);
  expect(await example.end('SIGINT')).toBe(0);
  await expect(inSession(url!, () => Promise.resolve())).rejects.toThrow('ECONNREFUSED');
});

test('kysely: the subscription of a team gets a row that joins it or leaves it; an update that changes nothing is not email_changed', async () => {
  const example = start('kysely');
  await example.line(/inserted 1 Ada 20\d\d\n/);
  await example.line(/email 1 countess@example.org was ada@example.org\n/);
  await example.line(/in team 3 1\n/);
  await example.line(/left team 3 1\n/);
  await database.sql(`update example.people set email = email`);
  await database.sql(`update example.people set email = 'a@example.org'`);
  // The very next line: the update that changed nothing has none.
  await example.line(
    /email 1 countess@example.org was ada@example.org\n(?:(?!email).*\n)*email 1 a@example.org was countess@example.org\n/,
  );
  expect(await example.end('SIGINT')).toBe(0);
  await database.dropSlot('example_kysely');
});

test('prisma: fields with @map arrive under the names of the model, and the handler reads the row', async () => {
  const example = start('prisma');
  await example.line(/label 1 red\n/);
  await example.line(/task 1 Write guides 2026-12-01T00:00:00.000Z\n/);
  await example.line(/assigned 1 ada was null\n/);
  await database.sql(`update example.tasks set title = 'Write more guides'`);
  await database.sql(`update example.tasks set assigned_to = 'grace'`);
  await example.line(/assigned 1 grace was ada\n/);
  expect(await example.end('SIGTERM')).toBe(0);
  await database.dropSlot('example_prisma');
});
