/** Unusual HTTP connections of a client. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { sse, type SseOptions, toNodeHandler } from '../../src/sse/index.ts';
import { ask, openStream, watchQuery } from '../support/event-stream.ts';
import { fakeWatch, type watchers } from '../support/fake-watch.ts';
import { everyone, live } from '../support/live.ts';
import { until } from '../support/until.ts';

async function serve(handler: (request: Request) => Promise<Response>): Promise<number> {
  const server = createServer(toNodeHandler(handler));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

async function open(port: number, text: string): Promise<{ socket: Socket; text: () => string }> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {}); // cut off by the server
  onTestFinished(() => void socket.destroy());
  let got = '';
  socket.on('data', (chunk) => (got += chunk.toString()));
  socket.write(text);
  return { socket, text: () => got };
}

const get = (watch: unknown, headers = 'Host: localhost') =>
  `GET /live${watchQuery(watch)} HTTP/1.1\r\n${headers}\r\n\r\n`;

/** A handler that counts its calls. Every client is Ada. */
function counted(options: Partial<SseOptions<typeof watchers>> = {}) {
  let asked = 0;
  const handler = sse(fakeWatch().watch, { authorize: () => ++asked > 0, principal: () => 'ada', ...options });
  return { handler, asked: () => asked };
}

test('pipelined requests on one socket free all their places when it closes', async () => {
  const { handler, asked } = counted({ connections: 20 });
  const port = await serve(handler);
  for (let round = 1; round <= 3; round++) {
    const before = asked();
    const { socket, text } = await open(port, get(everyone).repeat(20));
    await until(() => text().includes('event: position') && asked() === before + 20, {
      describe: () => `all 20 of round ${round} to be connected: ${asked() - before}`,
    });
    expect(await ask(handler, watchQuery(everyone))).toMatchObject({ status: 429 });
    socket.destroy();
    const streams: { close(): Promise<void> }[] = [];
    while (streams.length < 20) {
      const stream = await until(() => openStream(handler, everyone).catch(() => undefined), {
        describe: () => `place ${streams.length + 1} of 20`,
      });
      streams.push(stream);
    }
    for (const stream of streams) await stream.close();
  }
});

test('a socket that closes before the answer leaves nothing behind', async () => {
  const { handler } = counted({ connections: 1 });
  const port = await serve(async (request) => {
    await until(() => request.signal.aborted, { describe: 'the client to disconnect' });
    return handler(new Request(request.url)); // without the aborted signal
  });
  const { socket } = await open(port, get(everyone));
  await once(socket, 'connect');
  socket.end();
  socket.destroy();
  await until(() => openStream(handler, everyone).then((stream) => stream.close().then(() => true), () => false), {
    describe: 'a place',
  }); // prettier-ignore
});

test('an unread response is dropped at the next heartbeat', async () => {
  const { handler } = counted({ connections: 1, heartbeat: 1 });
  const unread = await handler(new Request(`http://localhost/live${watchQuery(everyone)}`));
  const stream = await until(() => openStream(handler, everyone).catch(() => undefined), { describe: 'its place' });
  await expect(unread.body!.getReader().read()).rejects.toThrow('the response is not being read');
  await stream.close();
});

test('a connection ends at maxAge, not at the next heartbeat', async () => {
  const { handler } = live({ heartbeat: 2_000_000_000, maxAge: 20 });
  await (
    await openStream(handler, everyone)
  ).ended;
});

test.each([
  ['a query in the Host header', `evil/?watch=${encodeURIComponent('[["users:inserted"]]')}&x=`],
  ['a path in the Host header', 'evil/other'],
  ['a fragment in the Host header', 'evil#'],
  ['a user in the Host header', 'user@evil'],
  ['a backslash in the Host header', 'evil\\x'],
])('%s does not change the requested subscriptions', async (_, host) => {
  const urls: string[] = [];
  const port = await serve(async (request) => {
    urls.push(request.url);
    return new Response('served', { headers: { 'content-length': '6' } });
  });
  const bad = await open(port, get(everyone, `Host: ${host}`));
  await until(() => bad.text().includes('\r\n\r\n'), { describe: 'an answer' });
  expect(bad.text()).toMatch(/^HTTP\/1.1 400 /);
  expect(urls).toEqual([]);
});

test.each([
  ['app.example.org:8080', '/live?a=1', 'http://app.example.org:8080/live?a=1'],
  ['[::1]:80', '//evil.example.org/live', 'http://[::1]//evil.example.org/live'],
  ['app.example.org', 'http://evil.example.org/live?a=1', 'http://app.example.org/live?a=1'],
])('Host %s and the target %s are %s', async (host, target, url) => {
  const port = await serve(async (request) => new Response(request.url));
  const { text } = await open(port, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  await until(() => text().includes(url), { describe: () => `${url}; there was ${text()}` });
});

test('answers must not be cached, and Vary names the headers that they depend on', async () => {
  const { handler } = live({ authorize: (_, { kind }) => kind === 'all' });
  for (const asked of [everyone, [['users:updated', 1]], [['nobody']]]) {
    const { headers, body } = await handler(new Request(`http://localhost/live${watchQuery(asked)}`));
    expect(headers.get('cache-control')).toMatch(/^private, no-store/);
    expect(headers.get('vary')).toBe('Cookie, Authorization');
    await body?.cancel();
  }
});
