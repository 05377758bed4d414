import { expect, onTestFinished, test, vi } from 'vitest';
import { createClient } from '../../../src/client/index.ts';
import { sse } from '../../../src/sse/index.ts';
import { installEventSource } from '../../support/event-source.ts';
import { fakeWatch, type watchers } from '../../support/fake-watch.ts';
import { until } from '../../support/until.ts';

function live(authorize = () => true) {
  const fake = fakeWatch();
  const sources = installEventSource(sse(fake.watch, { authorize }));
  const client = createClient<typeof watchers>({ url: 'http://localhost/live?team=4' });
  const told: string[] = [];
  for (const event of ['connected', 'disconnected', 'reset'] as const) client.on(event, () => told.push(event));
  onTestFinished(() => {
    client.close();
    sources[Symbol.dispose]();
  });
  return {
    fake,
    sources,
    client,
    told,
    connected: (times = 1) =>
      until(() => told.filter((event) => event === 'connected').length >= times, {
        describe: () => `connected; ${told.join()}`,
      }),
  };
}

const received = (events: readonly unknown[], count: number) =>
  until(() => events.length >= count, { describe: () => `${count} events; there were ${JSON.stringify(events)}` });

test('many subscriptions are one connection, and each event reaches those that it is for', async () => {
  const { fake, sources, client, connected } = live();
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
  expect(sources.urls).toHaveLength(1);
  expect(sources.urls[0]!.searchParams.get('team')).toBe('4');
});

test('dates, bigints and bytes are what they were in the worker', async () => {
  const { fake, client, connected } = live();
  const event = { id: 1, at: new Date(5), big: 7n, bytes: Buffer.from('x') };
  const heard: unknown[] = [];
  client.subscribe('users:updated', (one) => heard.push(one));
  await connected();
  fake.emit('users:updated', '0/A/0', event);
  await received(heard, 1);
  expect(heard).toEqual([{ ...event, bytes: new Uint8Array(event.bytes) }]);
});

test('a subscription that comes or goes takes nothing from the others', async () => {
  const { fake, sources, client, connected } = live();
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
  expect(sources.urls).toHaveLength(3);
});

test('after a lost connection it goes on where it was, and tells of it', async () => {
  const { fake, sources, client, connected, told } = live();
  const heard: unknown[] = [];
  client.subscribe('users:updated', (event) => heard.push(event.id));
  await connected();
  sources.down = true;
  sources.cut();
  await until(() => told.includes('disconnected'), { describe: 'disconnected' });
  fake.emit('users:updated', '0/1/0', { id: 1 });
  sources.down = false;
  await connected(2);
  expect(heard).toEqual([1]);
  expect(told).toEqual(['connected', 'disconnected', 'connected']);
});

test('what a listener throws is reported, and the others hear the event', async () => {
  const { fake, client, connected } = live();
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

test('a refusal is tried again, later each time, and a server that allows it then is heard', async () => {
  /** What waits for its time to come. */
  const waiting: { ms: number; retry: () => void }[] = [];
  const setTimeout = globalThis.setTimeout;
  const later = (retry: () => void, ms: number) => (ms < 100 ? setTimeout(retry, ms) : waiting.push({ ms, retry }));
  vi.stubGlobal('setTimeout', later);
  vi.spyOn(Math, 'random').mockReturnValue(0);
  onTestFinished(() => {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });
  let allowed = false;
  const { sources, client, told, connected } = live(() => allowed);
  client.subscribe('users:updated', () => {});
  for (const ms of [500, 1000, 2000]) {
    await until(() => waiting.length > 0, { describe: 'the next attempt to be planned' });
    const [{ ms: planned, retry }] = waiting.splice(0) as [(typeof waiting)[number]];
    expect(planned).toBe(ms);
    allowed = ms === 2000;
    retry();
  }
  await connected();
  expect(told).toEqual(['connected']);
  expect(sources.urls).toHaveLength(4);
});

test('a subscription that is ended and made again in one go stays on its connection', async () => {
  const { sources, client, connected } = live();
  const end = client.subscribe('users:updated', { role_id: 7 }, () => {});
  await connected();
  end();
  client.subscribe('users:updated', { role_id: 7 }, () => {});
  await new Promise((resolve) => setTimeout(resolve, 0)); // all that it would have done is done in a microtask
  expect(sources.urls).toHaveLength(1);
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
