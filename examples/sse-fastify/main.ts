import { pino } from 'pino';
import { createWatch } from 'walwatch';
import { createApp, watchers } from './app.ts';

const watch = createWatch({ slot: 'sse_fastify', watchers, logger: pino() }); // DATABASE_URL
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void watch.stop()); // also ends the streams
const app = createApp(watch);

void watch.start(); // not awaited: while another worker has the slot, this one waits and its server already answers
console.log('listening on', await app.listen({ port: Number(process.env['PORT'] ?? 3000) }));
try {
  await watch.closed;
} finally {
  await app.close();
}
