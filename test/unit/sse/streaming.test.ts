import { describe, expect, test } from 'vitest';
import { openStream, watchQuery } from '../../support/event-stream.ts';
import { everyone, ids, live } from '../../support/live.ts';

describe('a stream', () => {
  test('has headers that keep proxies and browsers from packing and keeping it, and no CORS', async () => {
    const { handler } = live();
    const stream = await openStream(handler, everyone, { headers: { origin: 'https://elsewhere.example.org' } });
    expect(Object.fromEntries(stream.response.headers)).toEqual({
      'content-type': 'text/event-stream',
      'cache-control': 'private, no-store, no-transform',
      'x-accel-buffering': 'no',
      'x-content-type-options': 'nosniff',
      vary: 'Cookie, Authorization',
    });
    await stream.close();
  });

  test('CORS is for the origins that are named, refusals included', async () => {
    const { handler } = live({ cors: ['https://app.example.org'], authorize: () => false });
    const headers = async (origin: string) =>
      (await handler(new Request(`http://localhost/${watchQuery(everyone)}`, { headers: { origin } }))).headers;
    expect((await headers('https://app.example.org')).get('access-control-allow-origin')).toBe(
      'https://app.example.org',
    );
    expect((await headers('https://evil.example.org')).get('access-control-allow-origin')).toBeNull();
    expect((await headers('https://evil.example.org')).get('vary')).toBe('Cookie, Authorization, Origin');
  });

  test('a preflight allows JSON and headers of the page’s own, for the origins that are named', async () => {
    const { handler } = live({ cors: ['https://app.example.org'] });
    const preflight = async (origin: string) =>
      handler(
        new Request('http://localhost/live', {
          method: 'OPTIONS',
          headers: { origin, 'access-control-request-headers': 'authorization,content-type' },
        }),
      );
    const allowed = await preflight('https://app.example.org');
    expect([allowed.status, Object.fromEntries(allowed.headers)]).toMatchObject([
      204,
      {
        'access-control-allow-origin': 'https://app.example.org',
        'access-control-allow-methods': 'GET, POST',
        'access-control-allow-headers': 'authorization,content-type',
      },
    ]);
    const denied = await preflight('https://evil.example.org');
    expect([...denied.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  test('carries the eventId as its id, and tells for which subscriptions a change is', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, [
      ['users:updated', 1],
      ['users:updated', { role_id: 7 }],
      ['users:updated', '2'],
    ]);
    fake.emit('users:updated', '0/A/0', { id: 1, name: 'Ada', role_id: 7 });
    fake.emit('users:updated', '0/A/1', { id: 3, name: 'Eve', role_id: 1 });
    fake.emit('users:updated', '0/B/0', { id: 2, name: 'Bob', role_id: null });
    await stream.has(({ lastEventId }) => lastEventId === '0/B/0');
    expect(stream.changes).toEqual([
      { for: [0, 1], watcher: 'users:updated', event: { id: 1, name: 'Ada', role_id: 7 } },
      { for: [2], watcher: 'users:updated', event: { id: 2, name: 'Bob', role_id: null } },
    ]);
    await stream.close();
  });

  test('brings a row that leaves the filter, and one that comes', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, [['users:updated', { role_id: 7 }]]);
    fake.emit('users:updated', '0/A/0', { id: 1, role_id: 8 }, { previous: { id: 1, role_id: 7 } });
    fake.emit('users:updated', '0/B/0', { id: 1, role_id: 9 }, { previous: { id: 1, role_id: 8 } });
    fake.emit('users:updated', '0/C/0', { id: 1, role_id: 7 }, { previous: { id: 1, role_id: 9 } });
    await stream.has(({ lastEventId }) => lastEventId === '0/C/0');
    expect(ids(stream)).toEqual(['0/A/0', '0/C/0']);
    await stream.close();
  });

  test('never holds the slot back: its handler returns at once, whatever becomes of the clients', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    const circular: Record<string, unknown> = { id: 1 };
    circular['self'] = circular;
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    expect(fake.emit('users:updated', '0/A/0', { id: 1 })).toEqual([undefined]);
    expect(fake.emit('users:updated', '0/B/0', circular)).toEqual([undefined]);
    expect((await warned).message).toContain('users:updated, 0/B/0: not to be written as JSON');
    await stream.has(({ type, data }) => type === 'reset' && data.includes('0/B/0'));
    await stream.close();
  });

  test('subscribes once to each watcher, however many clients there are', async () => {
    const { fake, handler } = live();
    const streams = await Promise.all([1, 2, 3].map((id) => openStream(handler, [['users:updated', id]])));
    expect(fake.subscriptions('users:updated')).toBe(1);
    for (const stream of streams) await stream.close();
  });

  test('whether a filter means a change is not known when its value was not sent: the client is told to reload', async () => {
    const { fake, handler } = live();
    const filtered = await openStream(handler, [['users:updated', { role_id: 7 }]]);
    const all = await openStream(handler, everyone);
    fake.emit('users:updated', '0/A/0', { id: 1 }, { absent: ['role_id'] });
    await filtered.has(({ type }) => type === 'reset');
    await all.has(({ type }) => type === 'message');
    expect(all.changes).toEqual([{ for: [0], watcher: 'users:updated', event: { id: 1 }, absent: ['role_id'] }]);
    const again = await openStream(handler, [['users:updated', { role_id: 7 }]], {
      lastEventId: filtered.messages[0]!.lastEventId,
    });
    await again.has(({ type }) => type === 'reset');
    for (const stream of [filtered, all, again]) await stream.close();
  });

  test('beats: events that tell when the next comes, and how far the client is when others’ events went by', async () => {
    const { fake, handler } = live({ heartbeat: 1 });
    const stream = await openStream(handler, [['users:updated', 1]]);
    fake.emit('users:updated', '0/A/0', { id: 2 });
    await stream.has(({ type, lastEventId }) => type === 'position' && lastEventId === '0/A/0');
    expect(stream.heartbeats.length).toBeGreaterThan(1);
    expect(stream.heartbeats[0]).toMatchObject({ data: '1' });
    expect(stream.changes).toEqual([]);
    await stream.close();
  });

  test('ends after maxAge, so that authorize is asked again', async () => {
    const { handler } = live({ heartbeat: 1, maxAge: 1 });
    await (
      await openStream(handler, everyone)
    ).ended;
  });

  test('a client that does not read is bounded by bytes, then cut, and told to reload when it comes back', async () => {
    const { fake, handler } = live({ clientBuffer: 10_000 });
    const slow = await handler(new Request(`http://localhost/${watchQuery(everyone)}`));
    const quick = await openStream(handler, everyone);
    for (let n = 0; n < 20; n++) {
      fake.emit('users:updated', `0/${n}/0`, { id: n, name: 'x'.repeat(1000) });
      await quick.has(({ lastEventId }) => lastEventId === `0/${n}/0`);
    }
    const reader = slow.body!.getReader();
    await expect(reader.read()).rejects.toThrow('the client is too slow: more than 10000 bytes');
    const back = await openStream(handler, everyone, { lastEventId: quick.messages[0]!.lastEventId });
    await back.has(({ type }) => type === 'reset');
    expect(back.changes).toEqual([]);
    fake.emit('users:updated', '0/FF/0', { id: 1 });
    await back.has(({ lastEventId }) => lastEventId === '0/FF/0');
    for (const stream of [quick, back]) await stream.close();
  });
});
