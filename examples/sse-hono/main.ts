import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { createWatch } from 'walwatch';
import { toNodeHandler } from 'walwatch/sse';
import { createApp, watchers } from './app.ts';

const watch = createWatch({ slot: 'sse_hono', watchers, logger: pino() }); // DATABASE_URL
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void watch.stop()); // also ends the streams
const app = createApp(watch);

void watch.start(); // not awaited: while another worker has the slot, this one waits and its server already answers
// Or use `serve` of @hono/node-server.
const server = createServer(toNodeHandler(async (request) => app.fetch(request)));
server.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1');
await once(server, 'listening');
console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
try {
  await watch.closed;
} finally {
  server.close();
}
