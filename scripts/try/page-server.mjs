// A server for page.test.mjs, on DATABASE_URL: serves the new rows of a table, one every 100 ms. Prints its port.
import { createServer } from 'node:http';
import pg from 'pg';
import { createWatch, defineWatchers } from 'walwatch';
import { sse, toNodeHandler } from 'walwatch/sse';

const { DATABASE_URL: connection } = process.env;
const client = new pg.Client(connection);
await client.connect();
await client.query('create table if not exists visits (id int generated always as identity primary key)');
const watch = createWatch({
  connection,
  slot: { name: `visits_${process.pid}`, temporary: true },
  watchers: defineWatchers([['visits', 'inserted']]),
});
const server = createServer(toNodeHandler(sse(watch, { authorize: () => true })));
await watch.start();
setInterval(() => void client.query('insert into visits default values'), 100);
server.listen(0, '127.0.0.1', () => console.log(/** @type {import('node:net').AddressInfo} */ (server.address()).port));
