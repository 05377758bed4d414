/** A worker that hears of every change in some tables, whoever makes it. `npm start` runs it. */
import { pino } from 'pino';
import { createWatch } from 'walwatch';
import { createTables, hasSlot, openDatabase } from './database.ts';
import { servePage } from './page-server.ts';
import { keepOrderSearch } from './order-search.ts';
import { print, remindOf } from './print.ts';
import { watchers } from './watchers.ts';
import { startWriter } from './writer.ts';

await using database = await openDatabase();
await createTables(database);

// More than once is the rule: npm hands on the Ctrl-C that the terminal has already sent.
const interrupted = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
});

const slot = 'walwatch_example';
const isFirstStart = !(await hasSlot(database.url, slot));

await using watch = createWatch({
  connection: database.url,
  slot,
  watchers,
  // Warnings are printed below, a line each. A program of yours would log them: leave the level at `info`.
  logger: pino({ level: process.env['LOG_LEVEL'] ?? 'error' }, pino.destination(2)),
});

// A handler may be asynchronous. Its event counts as handled when the promise resolves, and comes again when it rejects.
watch.subscribe('walwatch_example.users:inserted', print);
watch.subscribe('walwatch_example.users:updated', print);
watch.subscribe('walwatch_example.users:deleted', print);
watch.subscribe('contact_changed', print);
watch.subscribe('walwatch_example.packages:inserted', print);
watch.subscribe('walwatch_example.packages:updated', print);

// Rows from before the first start, and then every change: each order ends up in another table.
await using _orderSearch = keepOrderSearch(watch, database.url);

// By association: only users that have the role 1, or had it until now.
watch.subscribe('walwatch_example.users:updated', { role_id: 1 }, (event, context) => print(event, context, 'role 1'));

watch.on('warning', ({ code, message, solution }) => console.log(`${code}: ${message}. ${solution ?? ''}`));
let disconnected = false;
watch.on('disconnected', ({ error }) => {
  if (!disconnected)
    console.log(`disconnected: ${error?.message ?? 'the session has ended'}. It tries again until it succeeds`);
  disconnected = true;
});
watch.on('connected', ({ reconnects }) => {
  disconnected = false;
  const { confirmedLsn } = watch.status();
  if (reconnects > 0) console.log('connected again');
  else if (isFirstStart) console.log(`first start at ${confirmedLsn}`);
  else console.log(`resumed at ${confirmedLsn}: what was written since then comes first`);
});

await using page = await servePage(watch, database);
remindOf(`page: ${page.url}`);

void watch.start(); // not awaited: the page is there while this worker waits for the database, or for another worker's slot
console.log(`Ctrl-C stops it. Or: kill -9 ${process.pid}`);
await using _writer = startWriter(database.url, watch);

// `closed` rejects if the watch ends by an error, which then ends the program.
await Promise.race([watch.closed, interrupted]);
console.log('stopping');
