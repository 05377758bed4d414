/** Proxies and pages of other sites cannot make a page lose events silently. */
import { once } from 'node:events';
import { createServer, request as httpRequest, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { type ClientOptions, createClient, type Failure, type Refusal } from '../../src/client/index.ts';
import { sse, type SseOptions, toNodeHandler } from '../../src/sse/index.ts';
import { fakeWatch, type watchers } from '../support/fake-watch.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/live`;
}

function live(options: Partial<SseOptions<typeof watchers>> = {}) {
  const fake = fakeWatch();
  return { fake, handler: toNodeHandler(sse(fake.watch, { authorize: () => true, ...options })) };
}

function page(options: ClientOptions) {
  const client = createClient<typeof watchers>(options);
  onTestFinished(() => client.close());
  const seen = { connected: 0, refused: [] as Refusal[], failed: [] as Failure[], heard: [] as unknown[] };
  client.on('connected', () => seen.connected++);
  client.on('refused', (refusal) => seen.refused.push(refusal));
  client.on('failed', (failure) => seen.failed.push(failure));
  const subscribe = (count: number) => {
    for (let id = 1; id <= count; id++)
      client.subscribe('users:updated', { id, name: 'a long name '.repeat(20) }, (event) => seen.heard.push(event.id));
  };
  return {
    client,
    seen,
    subscribe,
    connected: () => until(() => seen.connected > 0, { describe: () => JSON.stringify(seen) }),
  };
}

const names = 'a long name '.repeat(20);

test('a hundred subscriptions, too many for a URL, work despite Node’s limit for headers', async () => {
  const { fake, handler } = live();
  const url = await serve(handler);
  const { seen, subscribe, connected } = page({ url });
  subscribe(101);
  await connected();
  expect(seen.refused).toMatchObject([{ code: 'LIMIT', filter: { id: 101 } }]);
  fake.emit('users:updated', '0/A/0', { id: 100, name: names });
  await until(() => seen.heard.includes(100), { describe: 'the event' });
  expect(seen.failed).toEqual([]);
});

test.each([414, 431])('if a proxy refuses long URLs with %s, the page uses POST', async (status) => {
  const { fake, handler } = live();
  const asked: string[] = [];
  const url = await serve((request, response) => {
    asked.push(request.method!);
    if (request.url!.length > 100) response.writeHead(status).end();
    else handler(request, response);
  });
  const { seen, subscribe, connected } = page({ url });
  subscribe(2);
  await connected();
  expect(asked).toEqual(['GET', 'POST']);
  fake.emit('users:updated', '0/A/0', { id: 2, name: names });
  await until(() => seen.heard.includes(2), { describe: 'the event' });
});

test('if a proxy allows only GET, the page gets an error with a solution', async () => {
  const { handler } = live();
  const url = await serve((request, response) => {
    if (request.method !== 'GET') response.writeHead(405).end();
    else handler(request, response);
  });
  const { seen, subscribe } = page({ url });
  subscribe(100);
  await until(() => seen.failed.length > 0, { describe: 'the failure' });
  expect(seen.failed[0]).toMatchObject({ status: 405, retryIn: undefined });
  expect(seen.failed[0]!.reason).toContain('let POST requests reach the handler');
});

test('a page notices a network that drops the stream silently, and resumes where it was', async () => {
  const { fake, handler } = live({ heartbeat: 50 });
  await using proxy = await startProxy(await serve(handler));
  const { seen, subscribe, connected } = page({ url: proxy.url });
  subscribe(1);
  await connected();
  proxy.swallow();
  fake.emit('users:updated', '0/A/0', { id: 1, name: names });
  await until(() => seen.heard.length === 1, { describe: 'the event' });
  expect(seen.connected).toBe(2);
});

test('a POST of another site is refused, and one of an origin in `cors` is served', async () => {
  const { handler } = live({ cors: ['https://app.example.org'] });
  const url = await serve(handler);
  const post = async (headers: Record<string, string>) => {
    const request = httpRequest(url, { method: 'POST', headers });
    request.end('{"watch":[["users:updated"]]}');
    const [response] = await once(request, 'response');
    response.destroy();
    return [response.statusCode, response.headers['access-control-allow-origin']];
  };
  const json = { 'content-type': 'application/json' };
  const evil = { origin: 'https://evil.example.org', 'sec-fetch-site': 'cross-site' };
  // The content types that a form or a fetch without a preflight can send.
  expect(await post({ ...evil, 'content-type': 'text/plain' })).toEqual([403, undefined]);
  expect(await post({ origin: evil.origin, 'content-type': 'text/plain' })).toEqual([415, undefined]);
  expect(await post({ ...evil, ...json })).toEqual([403, undefined]);
  expect(await post({ ...evil, 'sec-fetch-site': 'same-site', ...json })).toEqual([403, undefined]);
  const app = { origin: 'https://app.example.org', 'sec-fetch-site': 'cross-site' };
  expect(await post({ ...app, ...json })).toEqual([200, app.origin]);
  expect(await post({ origin: new URL(url).origin, 'sec-fetch-site': 'same-origin', ...json })).toEqual([
    200,
    undefined,
  ]);
});

test.each([
  ['with its length', { 'content-length': '1000000' }],
  ['in chunks', { 'transfer-encoding': 'chunked' }],
])('a body above the limit is refused %s, and the connection stays usable', async (_, headers) => {
  const { handler } = live();
  const url = await serve(handler);
  const request = httpRequest(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers } });
  request.on('error', () => {}); // of the unsent rest
  request.write('x'.repeat(600_000));
  request.end('x'.repeat(400_000));
  const [response] = await once(request, 'response');
  response.resume();
  expect(response.statusCode).toBe(413);
});

test('thousands of entries are answered with one reason, and only the first hundred are checked', async () => {
  const asked: unknown[] = [];
  const { handler } = live({ authorize: (_, wanted) => asked.push(wanted) > 0 });
  const url = await serve(handler);
  const watch = Array.from({ length: 13_000 }, () => ['users:updated']);
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ watch }),
  });
  expect(response.status).toBe(200);
  const reader = response.body!.getReader();
  let text = '';
  await until(
    async () => {
      text += new TextDecoder().decode((await reader.read()).value);
      return text.includes('event: position');
    },
    { describe: 'the position' },
  );
  await reader.cancel();
  expect(text.match(/event: refused/g)).toHaveLength(1);
  expect(asked).toHaveLength(100);
});
