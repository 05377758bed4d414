/**
 * examples/sse-next as Next serves it, without Next: waits for `register()`, then hands each request to the route module of its path.
 * `npm run test:package` does the same with Next itself.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { toNodeHandler } from 'walwatch/sse';
import * as live from '../../examples/sse-next/app/live/route.ts';
import * as readyz from '../../examples/sse-next/app/readyz/route.ts';
import { register } from '../../examples/sse-next/instrumentation.ts';
import { getWatch } from '../../examples/sse-next/watch.ts';

await register();
const routes: Record<string, Record<string, (request: Request) => Response | Promise<Response>>> = {
  '/live': live as never,
  '/readyz': readyz as never,
};
const server = createServer(
  toNodeHandler(async (request) => {
    const handler = routes[new URL(request.url).pathname]?.[request.method];
    return handler ? handler(request) : new Response(null, { status: 404 });
  }),
);
server.listen(Number(process.env['PORT']), '127.0.0.1');
await once(server, 'listening');
console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
// Next has signal handlers of its own, which end the process once its connections are closed.
await getWatch().closed;
server.close();
