import { createServer } from 'node:http';
import { createWatch } from 'walwatch';
import { toNodeHandler } from 'walwatch/sse';
import { createApp, watchers } from './app.ts';

await using watch = createWatch({ slot: 'sse_hono', watchers }); // DATABASE_URL
const app = createApp(watch);
await watch.start();

// Or `serve` of @hono/node-server.
const server = createServer(toNodeHandler(async (request) => app.fetch(request)));
server.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () => console.log('listening', server.address()));
process.once('SIGTERM', () => void watch.stop()); // ends the streams too
await watch.closed;
server.close();
