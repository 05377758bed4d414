/** A worker that receives every change of some tables, no matter which program makes it. Run it with `npm start`. */
import { pino } from 'pino';
import { createWatch } from 'walwatch';
import { createTables, hasSlot, openDatabase } from './database.ts';
import { servePage } from './page-server.ts';
import { print, remindOf } from './print.ts';
import { watchers } from './watchers.ts';
import { startWriter } from './writer.ts';

await using database = await openDatabase();
await createTables(database);

// A signal may arrive twice: npm forwards the Ctrl-C that the terminal has already sent.
const interrupted = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
});

const slot = 'walwatch_example';
const isFirstStart = !(await hasSlot(database.url, slot));

await using watch = createWatch({
  connection: database.url,
  slot,
  watchers,
  // This example prints warnings itself, see below. In your program, log them: leave the level at `info`.
  logger: pino({ level: process.env['LOG_LEVEL'] ?? 'error' }, pino.destination(2)),
});

// A handler may be asynchronous. Its event is handled when the promise resolves; if the promise rejects, walwatch retries.
watch.subscribe('walwatch_example.users:inserted', print);
watch.subscribe('walwatch_example.users:updated', print);
watch.subscribe('walwatch_example.users:deleted', print);
watch.subscribe('contact_changed', print);
watch.subscribe('walwatch_example.packages:inserted', print);
watch.subscribe('walwatch_example.packages:updated', print);

// With a filter: only users that have role 1, or had it before the update.
watch.subscribe('walwatch_example.users:updated', { role_id: 1 }, (event, context) => print(event, context, 'role 1'));

watch.on('warning', ({ code, message, solution }) => console.log(`${code}: ${message}. ${solution ?? ''}`));
let disconnected = false;
watch.on('disconnected', ({ error }) => {
  if (!disconnected)
    console.log(`disconnected: ${error?.message ?? 'the session has ended'}. Reconnecting until it succeeds`);
  disconnected = true;
});
watch.on('connected', ({ reconnects }) => {
  disconnected = false;
  const { confirmedLsn } = watch.status();
  if (reconnects > 0) console.log('connected again');
  else if (isFirstStart) console.log(`first start at ${confirmedLsn}`);
  else console.log(`resumed at ${confirmedLsn}: changes since then are delivered first`);
});

await using page = await servePage(watch, database);
remindOf(`page: ${page.url}`);

void watch.start(); // not awaited: the page works while this worker waits for the database or for the slot
console.log(`press Ctrl-C to stop, or run: kill -9 ${process.pid}`);
await using _writer = startWriter(database.url, watch);

// `closed` rejects if the watch ends with an error, and that ends the program.
await Promise.race([watch.closed, interrupted]);
console.log('stopping');
