import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type ClientOptions, createClient } from '../../../src/client/index.ts';
import { sse, type SseOptions } from '../../../src/sse/index.ts';
import { type Network, networkTo } from '../../support/event-source.ts';
import { fakeWatch, type watchers } from '../../support/fake-watch.ts';
import { hurried } from '../../support/timers.ts';
import { until } from '../../support/until.ts';

type Transport = (network: Network) => Partial<ClientOptions>;
const overFetch: Transport = ({ fetch }) => ({ fetch: fetch as never });
const overEventSource: Transport = ({ EventSource }) => ({ EventSource });

function live({
  transport = overFetch,
  handler,
  ...options
}: Partial<SseOptions<typeof watchers>> & {
  transport?: Transport;
  /** In front of the server. */
  handler?: (request: Request) => Response | undefined;
} = {}) {
  const fake = fakeWatch();
  const server = sse(fake.watch, { authorize: () => true, ...options });
  const network = networkTo((request) => handler?.(request) ?? server(request));
  const client = createClient<typeof watchers>({ url: 'http://localhost/live?team=4', ...transport(network) });
  const told: string[] = [];
  const refused: unknown[] = [];
  const failed: unknown[] = [];
  for (const event of ['connected', 'disconnected', 'reset'] as const) client.on(event, () => told.push(event));
  client.on('refused', (refusal) => refused.push(refusal));
  client.on('failed', (failure) => failed.push(failure));
  onTestFinished(() => client.close());
  return {
    fake,
    network,
    client,
    told,
    refused,
    failed,
    connected: (times = 1) =>
      until(() => told.filter((event) => event === 'connected').length >= times, {
        describe: () => `connected; ${told.join()}; ${JSON.stringify([refused, failed])}`,
      }),
  };
}

const received = (events: readonly unknown[], count: number) =>
  until(() => events.length >= count, { describe: () => `${count} events; there were ${JSON.stringify(events)}` });

describe.each([
  ['fetch', overFetch],
  ['an EventSource', overEventSource],
])('over %s', (_, transport) => {
  test('many subscriptions are one connection, and each event reaches those that it is for', async () => {
    const { fake, network, client, connected } = live({ transport });
    const heard: [string, unknown][] = [];
    client.subscribe('users:updated', (event) => heard.push(['all', event.id]));
    client.subscribe('users:updated', 1, (event) => heard.push(['one', event.id]));
    client.subscribe('users:updated', { role_id: 7 }, (event) => heard.push(['role', event.id]));
    client.subscribe('users:updated', 1, (event) => heard.push(['one again', event.id]));
    await connected();
    fake.emit('users:updated', '0/A/0', { id: 1, role_id: 7 });
    fake.emit('users:updated', '0/B/0', { id: 2, role_id: 7 });
    await received(heard, 6);
    expect(heard).toEqual([['all', 1], ['one', 1], ['one again', 1], ['role', 1], ['all', 2], ['role', 2]]); // prettier-ignore
    expect(network.urls).toHaveLength(1);
    expect(network.urls[0]!.searchParams.get('team')).toBe('4');
  });

  test('dates, bigints and bytes are what they were in the worker', async () => {
    const { fake, client, connected } = live({ transport });
    const event = { id: 1, at: new Date(5), big: 7n, bytes: Buffer.from('x') };
    const heard: unknown[] = [];
    client.subscribe('users:updated', (one) => heard.push(one));
    await connected();
    fake.emit('users:updated', '0/A/0', event);
    await received(heard, 1);
    expect(heard).toEqual([{ ...event, bytes: new Uint8Array(event.bytes) }]);
  });

  test('a subscription that comes or goes takes nothing from the others', async () => {
    const { fake, network, client, connected } = live({ transport });
    const first: unknown[] = [];
    const second: unknown[] = [];
    client.subscribe('users:updated', (event) => first.push(event.id));
    await connected();
    fake.emit('users:updated', '0/1/0', { id: 1 });
    await received(first, 1);
    const end = client.subscribe('users:inserted', (event) => second.push(event.id));
    fake.emit('users:updated', '0/2/0', { id: 2 }); // between two connections
    await Promise.resolve();
    fake.emit('users:updated', '0/3/0', { id: 3 });
    await connected(2);
    fake.emit('users:inserted', '0/4/0', { id: 4 });
    await received(second, 1);
    end();
    await connected(3);
    fake.emit('users:updated', '0/5/0', { id: 5 });
    fake.emit('users:inserted', '0/5/1', { id: 5 });
    await received(first, 4);
    expect(first).toEqual([1, 2, 3, 5]);
    expect(second).toEqual([4]);
    expect(network.urls).toHaveLength(3);
  });

  test('after a lost connection it goes on where it was, and tells of it', async () => {
    hurried();
    const { fake, network, client, connected, told } = live({ transport });
    const heard: unknown[] = [];
    client.subscribe('users:updated', (event) => heard.push(event.id));
    await connected();
    network.down = true;
    network.cut();
    await until(() => told.includes('disconnected'), { describe: 'disconnected' });
    fake.emit('users:updated', '0/1/0', { id: 1 });
    network.down = false;
    await connected(2);
    expect(heard).toEqual([1]);
    expect(told).toEqual(['connected', 'disconnected', 'connected']);
  });

  test('what a listener throws is reported, and the others hear the event', async () => {
    const { fake, client, connected } = live({ transport });
    const reported = vi.fn();
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', reported);
    onTestFinished(() => {
      process.removeAllListeners('uncaughtException');
      for (const listener of listeners) process.on('uncaughtException', listener);
    });
    const heard: unknown[] = [];
    client.subscribe('users:updated', () => {
      throw new Error('of the page');
    });
    client.subscribe('users:updated', (event) => heard.push(event.id));
    await connected();
    fake.emit('users:updated', '0/A/0', { id: 1 });
    await received(heard, 1);
    await until(() => reported.mock.calls.length > 0, { describe: 'the report' });
    expect(reported.mock.calls[0]![0]).toEqual(new Error('of the page'));
  });
});

test('a subscription that is ended and made again in one go stays on its connection', async () => {
  const { network, client, connected } = live();
  const end = client.subscribe('users:updated', { role_id: 7 }, () => {});
  await connected();
  end();
  client.subscribe('users:updated', { role_id: 7 }, () => {});
  await new Promise((resolve) => setTimeout(resolve, 0)); // all that it would have done is done in a microtask
  expect(network.urls).toHaveLength(1);
});

test('close ends it, and the last subscription that ends closes the connection', async () => {
  const { fake, client, connected } = live();
  const heard: unknown[] = [];
  const end = client.subscribe('users:updated', (event) => heard.push(event.id));
  await connected();
  end();
  await Promise.resolve();
  fake.emit('users:updated', '0/1/0', { id: 1 });
  client.subscribe('users:updated', (event) => heard.push(event.id));
  await connected(2);
  client.close();
  fake.emit('users:updated', '0/2/0', { id: 2 });
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(heard).toEqual([]);
});

const readings = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    id: index + 1,
    key: 'a name that makes the request long enough'.repeat(2),
  }));

describe('what is refused takes nothing from the others', () => {
  test('a subscription that is denied, one to no watcher and one with a wrong filter are told with their reasons', async () => {
    const { fake, client, connected, refused } = live({
      authorize: (_, { kind }) => kind !== 'all',
    });
    const heard: unknown[] = [];
    client.subscribe('users:updated', () => {});
    client.subscribe('users:updated', 1, (event) => heard.push(event.id));
    client.subscribe('users:deleted' as 'users:updated', 1, () => {});
    client.subscribe('users:updated', { password: 'x' } as never, () => {});
    await connected();
    expect(refused).toEqual([
      { watcher: 'users:updated', filter: undefined, code: 'DENIED', reason: expect.stringContaining('authorize does not allow') },
      { watcher: 'users:deleted', filter: 1, code: 'UNKNOWN', reason: 'there is no watcher "users:deleted"' },
      { watcher: 'users:updated', filter: { password: 'x' }, code: 'INVALID', reason: expect.stringContaining("'password'") },
    ]); // prettier-ignore
    fake.emit('users:updated', '0/A/0', { id: 1 });
    await received(heard, 1);
  });

  test('of 101 subscriptions the last is refused, by POST, and the others hear', async () => {
    const { fake, client, network, connected, refused } = live();
    const heard: unknown[] = [];
    for (const { id, key } of readings(101)) client.subscribe('users:updated', { id, name: key }, () => heard.push(id));
    await connected();
    expect(network.requests.map(({ method }) => method)).toEqual(['POST']);
    expect(network.urls[0]!.href).toBe('http://localhost/live?team=4');
    expect(refused).toMatchObject([{ filter: { id: 101 }, code: 'LIMIT', reason: 'one connection has at most 100 subscriptions' }]); // prettier-ignore
    for (const { id, key } of readings(101)) fake.emit('users:updated', `0/${id}/0`, { id, name: key });
    await received(heard, 100);
  });

  test('an EventSource takes what fits into a URL and tells of the others', async () => {
    const { client, network, connected, refused } = live({ transport: overEventSource });
    for (const { id, key } of readings(100)) client.subscribe('users:updated', { id, name: key }, () => {});
    await connected();
    expect(network.urls[0]!.href.length).toBeLessThan(8000);
    const { length } = JSON.parse(network.urls[0]!.searchParams.get('watch')!) as unknown[];
    expect(refused).toHaveLength(100 - length);
    expect(refused[0]).toMatchObject({ code: 'LIMIT', filter: { id: length + 1 } });
  });

  test('whoever subscribes to the same later is told as well', async () => {
    const { client, connected, refused } = live({ authorize: (_, wanted) => wanted.kind !== 'id' || wanted.id !== 1 });
    client.subscribe('users:updated', 1, () => {});
    client.subscribe('users:updated', 2, () => {});
    await connected();
    client.subscribe('users:updated', 1, () => {});
    await until(() => refused.length === 2, { describe: 'the second refusal' });
  });

  test('when all is refused each is told, it is asked for again later each time, and heard once it is allowed', async () => {
    const waits = hurried();
    vi.spyOn(Math, 'random').mockReturnValue(0);
    onTestFinished(() => void vi.restoreAllMocks());
    let attempts = 0;
    const { fake, client, connected, refused, failed, told } = live({ authorize: () => ++attempts > 6 });
    const heard: unknown[] = [];
    client.subscribe('users:updated', 1, (event) => heard.push(event.id));
    client.subscribe('users:updated', 2, () => {});
    await connected();
    expect(waits.filter((ms) => ms < 10_000)).toEqual([500, 1000, 2000]);
    expect(refused).toHaveLength(6);
    expect(refused[1]).toMatchObject({ watcher: 'users:updated', filter: 2, code: 'DENIED' });
    expect([failed, told]).toEqual([[], ['connected']]);
    fake.emit('users:updated', '0/A/0', { id: 1 });
    await received(heard, 1);
  });

  test('what is allowed again begins anew: it asks for nothing of the time when it was not', async () => {
    hurried();
    let allowed = true;
    const { fake, client, network, connected, refused } = live({
      authorize: (_, wanted) => allowed || (wanted.kind === 'id' && wanted.id === 2),
    });
    const heard: unknown[] = [];
    client.subscribe('users:updated', 1, (event) => heard.push(event.name));
    client.subscribe('users:updated', 2, () => {});
    await connected();
    allowed = false;
    network.cut();
    await connected(2);
    expect(refused).toMatchObject([{ filter: 1, code: 'DENIED' }]);
    fake.emit('users:updated', '0/A/0', { id: 1, name: 'secret' });
    fake.emit('users:updated', '0/B/0', { id: 2, name: 'x' });
    allowed = true;
    network.cut();
    await connected(3);
    fake.emit('users:updated', '0/C/0', { id: 1, name: 'open' });
    await received(heard, 1);
    expect(heard).toEqual(['open']);
  });
});

describe('a request that is refused as a whole', () => {
  test.each([
    [401, 'no session\n', 'no session', 500],
    [403, 'forbidden\n', 'forbidden', 500],
    [404, 'not found\n', 'not found', 500],
    [503, 'starting\n', 'starting', 500],
    [400, 'bad\n', 'bad', undefined],
    [413, 'too large\n', 'too large', undefined],
  ])('%s is told with its status, and tried again if that makes sense', async (status, text, reason, retryIn) => {
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
    client.subscribe('users:updated', () => {}); // the same: it is told what is wrong
    await until(() => failed.length > 1, { describe: 'the failure again' });
    expect(network.requests).toHaveLength(1);
    client.subscribe('users:inserted', () => {}); // another request
    await connected();
  });

  test('a page of HTML is no stream', async () => {
    const headers = { 'content-type': 'text/html' };
    const { client, failed } = live({ handler: () => new Response('<h1>Sign in</h1>', { headers }) });
    client.subscribe('users:updated', () => {});
    await until(() => failed.length > 0, { describe: 'the failure' });
    expect(failed[0]).toMatchObject({ status: 200, reason: 'the answer is 200 with text/html' });
  });

  test('Retry-After is waited for', async () => {
    const headers = { 'retry-after': '40' };
    const { client, failed } = live({ handler: () => new Response('', { status: 429, headers }) });
    client.subscribe('users:updated', () => {});
    await until(() => failed.length > 0, { describe: 'the failure' });
    expect(failed[0]).toMatchObject({ status: 429, retryIn: 40_000 });
  });

  test('no answer at all is told, and tried again', async () => {
    hurried();
    const { client, network, connected, failed } = live();
    network.down = true;
    client.subscribe('users:updated', () => {});
    await until(() => failed.length > 1, { describe: 'two failures' });
    expect(failed[0]).toMatchObject({ status: undefined, reason: 'fetch failed' });
    network.down = false;
    await connected();
  });

  test.each([414, 431])('a URL that a proxy refuses with %s is sent by POST, then and later', async (status) => {
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

  test('a route without POST is asked by GET, as long as the URL may pass', async () => {
    const { client, network, connected } = live({
      handler: ({ method }) => (method === 'POST' ? new Response('', { status: 405 }) : undefined),
    });
    for (const { id, key } of readings(30)) client.subscribe('users:updated', { id, name: key }, () => {});
    await connected();
    expect(network.requests.map(({ method }) => method)).toEqual(['POST', 'GET']);
  });

  test('when neither passes, the failure says what to do', async () => {
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

describe('a stream that goes quiet', () => {
  test.each([
    ['fetch', overFetch],
    ['an EventSource', overEventSource],
  ])('is noticed after two heartbeats, and made again, over %s', async (_, transport) => {
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

  test('a proxy that never answers is not waited for without an end', async () => {
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
    expect(failed[0]).toMatchObject({ status: undefined, reason: 'nothing was heard for two heartbeats' });
    hangs = false;
    await connected();
  });
});

describe('the options of a client', () => {
  test('headers and url are asked for at each attempt', async () => {
    hurried();
    let token = 0;
    const own: Transport = ({ fetch }) => ({
      fetch: fetch as never,
      url: async () => `http://localhost/live?attempt=${token}`,
      headers: () => ({ authorization: `Bearer ${++token}` }),
    });
    const { client, network, connected } = live({ transport: own });
    client.subscribe('users:updated', () => {});
    await connected();
    network.cut();
    await connected(2);
    expect(network.requests.map(({ headers }) => headers.get('authorization'))).toEqual(['Bearer 1', 'Bearer 2']);
    expect(network.urls.map(({ searchParams }) => searchParams.get('attempt'))).toEqual(['0', '1']);
  });

  test('a url or headers that throw are told, and asked for again', async () => {
    hurried();
    let signedIn = false;
    const own: Transport = ({ fetch }) => ({
      fetch: fetch as never,
      headers: () => (signedIn ? {} : Promise.reject(new Error('no token yet'))),
    });
    const { client, connected, failed } = live({ transport: own });
    client.subscribe('users:updated', () => {});
    await until(() => failed.length > 0, { describe: 'the failure' });
    expect(failed[0]).toMatchObject({ reason: 'no token yet', status: undefined });
    signedIn = true;
    await connected();
  });

  test.each([
    [
      'no fetch',
      { url: 'http://localhost/' },
      'there is no fetch here: pass createClient() a `fetch` or an `EventSource`',
    ],
    ['a relative url outside of a page', { url: '/live', fetch }, "'/live' is no URL from here"],
    [
      'headers with an EventSource',
      { url: 'http://localhost/', headers: {}, EventSource: class {} },
      'an EventSource sends no headers',
    ],
  ])('%s is an error of subscribe, not of createClient', (_, options, reason) => {
    vi.stubGlobal('fetch', undefined);
    onTestFinished(() => void vi.unstubAllGlobals());
    const client = createClient<typeof watchers>(options as never);
    expect(() => client.subscribe('users:updated', () => {})).toThrow(new TypeError(`walwatch/client: ${reason}`, {}).message); // prettier-ignore
    client.close();
  });

  test.each([
    [undefined, 'undefined'],
    [null, 'null'],
    [NaN, 'NaN'],
    [{ role_id: undefined }, 'role_id: undefined'],
    [{ role_id: 7, name: undefined }, 'name: undefined'],
    [{ role_id: Infinity }, 'role_id: Infinity'],
  ])('a filter that is not known yet never means all rows: %j', (filter, shown) => {
    const { client } = live();
    expect(() => client.subscribe('users:updated', filter as never, () => {})).toThrow(
      `the filter of 'users:updated' is not known (${shown})`,
    );
  });

  test('null is a value of a column', async () => {
    const { client, network, connected } = live();
    client.subscribe('users:updated', { role_id: null }, () => {});
    await connected();
    expect(network.urls[0]!.searchParams.get('watch')).toBe('[["users:updated",{"role_id":null}]]');
  });
});
