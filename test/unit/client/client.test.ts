import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { live, overEventSource, overFetch, received } from '../../support/live-client.ts';
import { hurried } from '../../support/timers.ts';
import { until } from '../../support/until.ts';

describe.each([
  ['fetch', overFetch],
  ['an EventSource', overEventSource],
])('over %s', (_, transport) => {
  test('all subscriptions share one connection, and each event reaches the matching ones', async () => {
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

  test('dates, bigints and bytes arrive with the types of the worker', async () => {
    const { fake, client, connected } = live({ transport });
    const event = { id: 1, at: new Date(5), big: 7n, bytes: Buffer.from('x') };
    const heard: unknown[] = [];
    client.subscribe('users:updated', (one) => heard.push(one));
    await connected();
    fake.emit('users:updated', '0/A/0', event);
    await received(heard, 1);
    expect(heard).toEqual([{ ...event, bytes: new Uint8Array(event.bytes) }]);
  });

  test('no subscription loses events when another one begins or ends', async () => {
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

  test('after a lost connection it resumes where it was and reports both', async () => {
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

  test('an error of a listener is reported, and the other listeners receive the event', async () => {
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

test('a subscription that ends and begins again at once keeps its connection', async () => {
  const { network, client, connected } = live();
  const end = client.subscribe('users:updated', { role_id: 7 }, () => {});
  await connected();
  end();
  client.subscribe('users:updated', { role_id: 7 }, () => {});
  await new Promise((resolve) => setTimeout(resolve, 0)); // a reconnect would have begun in a microtask
  expect(network.urls).toHaveLength(1);
});

test('close() and the end of the last subscription close the connection', async () => {
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
