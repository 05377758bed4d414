/** The unchanged examples of `walwatch/sse`, with the built package (`npm run compile`). */
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, expect, test, vi } from 'vitest';
import { toNodeHandler } from '../../src/sse/index.ts';
import { createApp as createFastify, watchers as fastifyWatchers } from '../../examples/sse-fastify/app.ts';
import { createApp as createHono, watchers as honoWatchers } from '../../examples/sse-hono/app.ts';
import { useDatabase } from '../support/database.ts';
import { ask, openStream, watchQuery } from '../support/event-stream.ts';
import { dropSlotAndPublication, watchOn } from '../support/watching.ts';

const database = useDatabase();
const watch = watchOn(database);

beforeAll(async () => {
  await database.sql(`insert into roles values (7, 'seven'), (8, 'eight')`);
  await database.sql(`insert into users (id, name, role_id) values (1, 'Ada', 7), (2, 'Bob', 8)`);
});

let close: (() => Promise<unknown>) | undefined;
afterEach(() => close?.());

/** The behaviour that all examples must have. */
async function follows(url: string): Promise<void> {
  const own = [['users:updated', { role_id: 7 }]];
  const handler = (request: Request) => fetch(request);
  const at = (request: Request) => handler(new Request(request.url.replace('http://localhost/live', url), request));
  for (const asked of [own, [['users:updated']], [['users:updated', 1]], [['users:updated', { name: 'Ada' }]]]) {
    expect(await ask(at, watchQuery(asked))).toEqual({
      status: 403,
      text: expect.stringContaining('returned no user'),
    });
  }
  const headers = { cookie: 'session=1.7' };
  for (const asked of [[['users:updated', { role_id: 8 }]], [['users:updated']], [['users:updated', { id: 1 }]]]) {
    const denied = { status: 403, text: expect.stringContaining('authorize denied') };
    expect(await ask(at, watchQuery(asked), { headers })).toEqual(denied);
  }
  const stream = await openStream(url, own, { headers });
  await stream.has(({ type }) => type === 'position');
  await database.sql(`update users set name = name || '!'`);
  await stream.has(({ type }) => type === 'message');
  expect(stream.changes).toEqual([
    { for: [0], watcher: 'users:updated', event: { id: 1, name: expect.stringContaining('Ada!'), role_id: 7 } },
  ]);
  await stream.close();
  const posted = await fetch(url, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ watch: own }),
  });
  expect([posted.status, posted.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
  await posted.body!.cancel();
}

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/live`;
}

test('Hono: a session follows the users of its role, and nothing else', async () => {
  const source = watch(honoWatchers);
  const app = createHono(source as never);
  await source.start();
  await follows(await serve(toNodeHandler(async (request) => app.fetch(request))));
});

test('Fastify: a session follows the users of its role, and nothing else', async () => {
  const source = watch(fastifyWatchers);
  const app = createFastify(source as never);
  await source.start();
  close = () => app.close();
  await follows(`${await app.listen({ port: 0, host: '127.0.0.1' })}/live`);
});

test('Next: the GET route does the same, with the watch that instrumentation has started', async () => {
  vi.stubEnv('DATABASE_URL', database.url);
  const { GET, POST } = await import('../../examples/sse-next/app/live/route.ts');
  const { register } = await import('../../examples/sse-next/instrumentation.ts');
  const { getWatch } = await import('../../examples/sse-next/watch.ts');
  await register();
  const source = getWatch();
  await source.start(); // returns the same promise: register() did not wait for it
  try {
    await follows(await serve(toNodeHandler((request) => (request.method === 'GET' ? GET : POST)(request))));
  } finally {
    await source.stop();
    await dropSlotAndPublication(database, 'sse_next');
  }
});
