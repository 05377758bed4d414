import { describe, expect, test } from 'vitest';
import { openStream, watchQuery } from '../../support/event-stream.ts';
import { everyone, ids, live } from '../../support/live.ts';

describe('a stream', () => {
  test('has headers against compression and caching, and no CORS headers', async () => {
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

  test('has CORS headers for the configured origins, on refusals too', async () => {
    const { handler } = live({ cors: ['https://app.example.org'], authorize: () => false });
    const headers = async (origin: string) =>
      (await handler(new Request(`http://localhost/${watchQuery(everyone)}`, { headers: { origin } }))).headers;
    expect((await headers('https://app.example.org')).get('access-control-allow-origin')).toBe(
      'https://app.example.org',
    );
    expect((await headers('https://evil.example.org')).get('access-control-allow-origin')).toBeNull();
    expect((await headers('https://evil.example.org')).get('vary')).toBe('Cookie, Authorization, Origin');
  });

  test('is allowed by a preflight with JSON and custom headers, for the configured origins', async () => {
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

  test('sends each change with its eventId and the subscriptions that it is for', async () => {
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

  test('sends a row that leaves the filter and one that enters it', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, [['users:updated', { role_id: 7 }]]);
    fake.emit('users:updated', '0/A/0', { id: 1, role_id: 8 }, { previous: { id: 1, role_id: 7 } });
    fake.emit('users:updated', '0/B/0', { id: 1, role_id: 9 }, { previous: { id: 1, role_id: 8 } });
    fake.emit('users:updated', '0/C/0', { id: 1, role_id: 7 }, { previous: { id: 1, role_id: 9 } });
    await stream.has(({ lastEventId }) => lastEventId === '0/C/0');
    expect(ids(stream)).toEqual(['0/A/0', '0/C/0']);
    await stream.close();
  });

  test('never holds the slot back: its handler returns at once, whatever its clients do', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    const circular: Record<string, unknown> = { id: 1 };
    circular['self'] = circular;
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    expect(fake.emit('users:updated', '0/A/0', { id: 1 })).toEqual([undefined]);
    expect(fake.emit('users:updated', '0/B/0', circular)).toEqual([undefined]);
    expect((await warned).message).toContain('users:updated, 0/B/0: the event cannot be written as JSON');
    await stream.has(({ type, data }) => type === 'reset' && data.includes('0/B/0'));
    await stream.close();
  });

  test('subscribes once to each watcher, however many clients there are', async () => {
    const { fake, handler } = live();
    const streams = await Promise.all([1, 2, 3].map((id) => openStream(handler, [['users:updated', id]])));
    expect(fake.subscriptions('users:updated')).toBe(1);
    for (const stream of streams) await stream.close();
  });

  test('makes a client reload if the value that its filter needs was not sent', async () => {
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

  test('sends heartbeats with the time until the next one, and the position if other clients received events', async () => {
    const { fake, handler } = live({ heartbeat: 1 });
    const stream = await openStream(handler, [['users:updated', 1]]);
    fake.emit('users:updated', '0/A/0', { id: 2 });
    await stream.has(({ type, lastEventId }) => type === 'position' && lastEventId === '0/A/0');
    expect(stream.heartbeats.length).toBeGreaterThan(1);
    expect(stream.heartbeats[0]).toMatchObject({ data: '1' });
    expect(stream.changes).toEqual([]);
    await stream.close();
  });

  test('ends after maxAge, so that authorize is called again', async () => {
    const { handler } = live({ heartbeat: 1, maxAge: 1 });
    await (
      await openStream(handler, everyone)
    ).ended;
  });

  test('of a client that does not read is cut off at a number of bytes, and the client must reload when it returns', async () => {
    const { fake, handler } = live({ clientBuffer: 10_000 });
    const slow = await handler(new Request(`http://localhost/${watchQuery(everyone)}`));
    const quick = await openStream(handler, everyone);
    for (let n = 0; n < 20; n++) {
      fake.emit('users:updated', `0/${n}/0`, { id: n, name: 'x'.repeat(1000) });
      await quick.has(({ lastEventId }) => lastEventId === `0/${n}/0`);
    }
    const reader = slow.body!.getReader();
    await expect(reader.read()).rejects.toThrow('the client reads too slowly: more than 10000 bytes');
    const back = await openStream(handler, everyone, { lastEventId: quick.messages[0]!.lastEventId });
    await back.has(({ type }) => type === 'reset');
    expect(back.changes).toEqual([]);
    fake.emit('users:updated', '0/FF/0', { id: 1 });
    await back.has(({ lastEventId }) => lastEventId === '0/FF/0');
    for (const stream of [quick, back]) await stream.close();
  });
});
