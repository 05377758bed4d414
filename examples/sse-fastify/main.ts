import { createWatch } from 'walwatch';
import { createApp, watchers } from './app.ts';

await using watch = createWatch({ slot: 'sse_fastify', watchers }); // DATABASE_URL
const app = createApp(watch);
await watch.start();
console.log('listening', await app.listen({ port: Number(process.env['PORT'] ?? 3000) }));
process.once('SIGTERM', () => void watch.stop()); // ends the streams too
await watch.closed;
await app.close();
