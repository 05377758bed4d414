import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { live, overEventSource, overFetch, readings, received, type Transport } from '../../support/live-client.ts';
import { hurried } from '../../support/timers.ts';
import { until } from '../../support/until.ts';

describe('a request that is refused as a whole', () => {
  test.each([
    [401, 'no session\n', 'no session', 500],
    [403, 'forbidden\n', 'forbidden', 500],
    [404, 'not found\n', 'not found', 500],
    [503, 'starting\n', 'starting', 500],
    [400, 'bad\n', 'bad', undefined],
    [413, 'too large\n', 'too large', undefined],
  ])('%s is reported with its status, and retried if that can help', async (status, text, reason, retryIn) => {
    hurried();
    vi.spyOn(Math, 'random').mockReturnValue(0);
    onTestFinished(() => void vi.restoreAllMocks());
    let broken = true;
    const { client, connected, failed, network } = live({
      handler: () => (broken ? new Response(text, { status, headers: { 'content-type': 'text/plain' } }) : undefined),
    });
    client.subscribe('users:updated', () => {});
    await until(() => failed.length > 0, { describe: 'the failure' });
    expect(failed[0]).toEqual({ status, reason, retryIn });
    broken = false;
    if (retryIn !== undefined) {
      await connected();
      return;
    }
    client.subscribe('users:updated', () => {}); // an equal subscription: the known failure is reported
    await until(() => failed.length > 1, { describe: 'the failure again' });
    expect(network.requests).toHaveLength(1);
    client.subscribe('users:inserted', () => {}); // another request
    await connected();
  });

  test('an HTML page is reported as a failure', async () => {
    const headers = { 'content-type': 'text/html' };
    const { client, failed } = live({ handler: () => new Response('<h1>Sign in</h1>', { headers }) });
    client.subscribe('users:updated', () => {});
    await until(() => failed.length > 0, { describe: 'the failure' });
    expect(failed[0]).toMatchObject({ status: 200, reason: 'the answer is 200 with text/html' });
  });

  test('Retry-After sets the delay of the next attempt', async () => {
    const headers = { 'retry-after': '40' };
    const { client, failed } = live({ handler: () => new Response('', { status: 429, headers }) });
    client.subscribe('users:updated', () => {});
    await until(() => failed.length > 0, { describe: 'the failure' });
    expect(failed[0]).toMatchObject({ status: 429, retryIn: 40_000 });
  });

  test('a missing answer is reported, and retried', async () => {
    hurried();
    const { client, network, connected, failed } = live();
    network.down = true;
    client.subscribe('users:updated', () => {});
    await until(() => failed.length > 1, { describe: 'two failures' });
    expect(failed[0]).toMatchObject({ status: undefined, reason: 'fetch failed' });
    network.down = false;
    await connected();
  });

  test.each([414, 431])('after a proxy refuses a URL with %s, the client uses POST', async (status) => {
    const { fake, client, network, connected, failed } = live({
      handler: ({ method }) => (method === 'GET' ? new Response('', { status }) : undefined),
    });
    const heard: unknown[] = [];
    client.subscribe('users:updated', (event) => heard.push(event.id));
    await connected();
    client.subscribe('users:inserted', () => {});
    await connected(2);
    expect(network.requests.map(({ method }) => method)).toEqual(['GET', 'POST', 'POST']);
    expect(failed).toEqual([]);
    fake.emit('users:updated', '0/A/0', { id: 1 });
    await received(heard, 1);
  });

  test('a route without POST is requested by GET if the URL is short enough', async () => {
    const { client, network, connected } = live({
      handler: ({ method }) => (method === 'POST' ? new Response('', { status: 405 }) : undefined),
    });
    for (const { id, key } of readings(30)) client.subscribe('users:updated', { id, name: key }, () => {});
    await connected();
    expect(network.requests.map(({ method }) => method)).toEqual(['POST', 'GET']);
  });

  test('when both methods are refused, the failure contains the solution', async () => {
    const { client, failed } = live({
      handler: ({ method }) => new Response('', { status: method === 'POST' ? 404 : 414 }),
    });
    client.subscribe('users:updated', () => {});
    await until(() => failed.length > 0, { describe: 'the failure' });
    expect(failed[0]).toEqual({
      status: 414,
      reason: expect.stringContaining('(GET 414 POST 404): let POST requests reach the handler of sse()'),
      retryIn: undefined,
    });
  });
});

describe('a silent connection', () => {
  test.each([
    ['fetch', overFetch],
    ['an EventSource', overEventSource],
  ])('is replaced after two heartbeats, over %s', async (_, transport) => {
    hurried();
    const { fake, client, network, connected, told } = live({ transport, heartbeat: 20 });
    const heard: unknown[] = [];
    client.subscribe('users:updated', (event) => heard.push(event.id));
    await connected();
    network.freeze();
    fake.emit('users:updated', '0/A/0', { id: 1 });
    await connected(2);
    await received(heard, 1);
    expect(told).toEqual(['connected', 'disconnected', 'connected']);
  });

  test('fails after a time limit when a proxy never answers', async () => {
    hurried();
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    let hangs = true;
    const hanging: Transport = ({ fetch }) => ({
      fetch: (async (url: string, init: RequestInit) => {
        if (!hangs) return fetch(url, init);
        return new Promise((_, reject) => init.signal!.addEventListener('abort', () => reject(new Error('aborted'))));
      }) as never,
    });
    const { client, connected, failed } = live({ transport: hanging });
    client.subscribe('users:updated', () => {});
    await Promise.resolve();
    vi.setSystemTime(Date.now() + 31_000);
    await until(() => failed.length > 0, { describe: 'the failure' });
    expect(failed[0]).toMatchObject({ status: undefined, reason: 'the server was silent for two heartbeats' });
    hangs = false;
    await connected();
  });
});
