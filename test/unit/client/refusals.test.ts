import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { live, overEventSource, readings, received } from '../../support/live-client.ts';
import { hurried } from '../../support/timers.ts';
import { until } from '../../support/until.ts';

describe('refused subscriptions do not affect the others', () => {
  test('denied subscriptions, unknown watchers and wrong filters are reported with their reasons', async () => {
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
      { watcher: 'users:updated', filter: undefined, code: 'DENIED', reason: expect.stringContaining('authorize denied') },
      { watcher: 'users:deleted', filter: 1, code: 'UNKNOWN', reason: 'unknown watcher "users:deleted"' },
      { watcher: 'users:updated', filter: { password: 'x' }, code: 'INVALID', reason: expect.stringContaining("'password'") },
    ]); // prettier-ignore
    fake.emit('users:updated', '0/A/0', { id: 1 });
    await received(heard, 1);
  });

  test('of 101 subscriptions, sent by POST, the last is refused and the others receive events', async () => {
    const { fake, client, network, connected, refused } = live();
    const heard: unknown[] = [];
    for (const { id, key } of readings(101)) client.subscribe('users:updated', { id, name: key }, () => heard.push(id));
    await connected();
    expect(network.requests.map(({ method }) => method)).toEqual(['POST']);
    expect(network.urls[0]!.href).toBe('http://localhost/live?team=4');
    expect(refused).toMatchObject([{ filter: { id: 101 }, code: 'LIMIT', reason: 'a connection may have at most 100 subscriptions' }]); // prettier-ignore
    for (const { id, key } of readings(101)) fake.emit('users:updated', `0/${id}/0`, { id, name: key });
    await received(heard, 100);
  });

  test('an EventSource sends the subscriptions that fit into a URL and reports the others as refused', async () => {
    const { client, network, connected, refused } = live({ transport: overEventSource });
    for (const { id, key } of readings(100)) client.subscribe('users:updated', { id, name: key }, () => {});
    await connected();
    expect(network.urls[0]!.href.length).toBeLessThan(8000);
    const { length } = JSON.parse(network.urls[0]!.searchParams.get('watch')!) as unknown[];
    expect(refused).toHaveLength(100 - length);
    expect(refused[0]).toMatchObject({ code: 'LIMIT', filter: { id: length + 1 } });
  });

  test('a later equal subscription is reported as refused, too', async () => {
    const { client, connected, refused } = live({ authorize: (_, wanted) => wanted.kind !== 'id' || wanted.id !== 1 });
    client.subscribe('users:updated', 1, () => {});
    client.subscribe('users:updated', 2, () => {});
    await connected();
    client.subscribe('users:updated', 1, () => {});
    await until(() => refused.length === 2, { describe: 'the second refusal' });
  });

  test('if all are refused, each is reported, retried with growing delays, and served once it is allowed', async () => {
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

  test('a subscription that is allowed again does not receive changes from the time when it was denied', async () => {
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
