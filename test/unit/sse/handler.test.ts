import { describe, expect, test } from 'vitest';
import { sse, type SseOptions } from '../../../src/sse/index.ts';
import { ask, openStream, watchQuery } from '../../support/event-stream.ts';
import { fakeWatch, type watchers } from '../../support/fake-watch.ts';

const allowAll = { authorize: () => true };

function live(options: Partial<SseOptions<typeof watchers>> = allowAll) {
  const fake = fakeWatch();
  return { fake, handler: sse(fake.watch, { ...allowAll, ...options }) };
}

const everyone = [['users:updated']];
const ids = (stream: { messages: readonly { type: string; lastEventId: string }[] }) =>
  stream.messages.filter(({ type }) => type === 'message').map(({ lastEventId }) => lastEventId);

describe('nothing is served without authorize', () => {
  test('without one, everything is denied, and the answer says how to allow', async () => {
    const handler = sse(fakeWatch().watch, undefined as never);
    expect(await ask(handler, watchQuery(everyone))).toEqual({
      status: 403,
      text: expect.stringContaining('authorize: (request, { watcher, filter }) =>'),
    });
  });

  test('it is asked for each subscription, and one that it does not allow denies them all', async () => {
    const asked: unknown[] = [];
    const { fake, handler } = live({
      authorize: async (_, wanted) => {
        asked.push(wanted);
        return wanted.watcher !== 'users:updated';
      },
    });
    const answer = await ask(handler, watchQuery([['users:inserted'], ['users:updated', { role_id: 7 }]]));
    expect(answer).toEqual({ status: 403, text: expect.stringContaining(`'users:updated' for {"role_id":7}`) });
    expect(asked).toEqual([
      { watcher: 'users:inserted', filter: undefined },
      { watcher: 'users:updated', filter: { role_id: 7 } },
    ]);
    expect(fake.subscriptions('users:inserted')).toBe(0);
  });

  test('only true allows', async () => {
    const { handler } = live({ authorize: () => 'yes' as never });
    expect((await ask(handler, watchQuery(everyone))).status).toBe(403);
  });

  test('an authorize that throws serves nothing, and its error is the caller’s', async () => {
    const { handler } = live({ authorize: () => Promise.reject(new Error('no session store')) });
    await expect(ask(handler, watchQuery(everyone))).rejects.toThrow('no session store');
  });
});

describe('what is asked for is limited to what the watchers declare', () => {
  const { handler } = live();
  test.each([
    [[['nobody:updated']], `there is no watcher "nobody:updated"`],
    [[['__proto__']], `there is no watcher "__proto__"`],
    [[['users:updated', { password: 'x' }]], `'password' is neither primary key nor in extraColumns`],
    [[['users:updated', JSON.parse('{"__proto__":1}')]], `'__proto__' is neither primary key nor in extraColumns`],
    [[['users:updated', {}]], 'the filter names no column'],
    [[['users:inserted', 1]], `there is no id to subscribe to on 'inserted'`],
    [[['users:truncated', 1]], 'there is nothing to filter by'],
    [[['lines:updated', 1]], 'the primary key has 2 columns'],
  ])('%j is a 400 with the reason', async (watch, reason) => {
    expect(await ask(handler, watchQuery(watch))).toEqual({ status: 400, text: expect.stringContaining(reason) });
  });

  test('a 400 names all that is wrong', async () => {
    const { text } = await ask(handler, watchQuery([['nobody'], ['users:updated', { a: 1, b: 2 }]]));
    expect(text.trim().split('\n')).toHaveLength(3);
  });

  test('an id whose column only the database knows is asked to come again', async () => {
    expect((await ask(handler, watchQuery([['unbound:updated', 1]]))).status).toBe(503);
    const stream = await openStream(handler, [['unbound:updated', { role_id: 1 }]]);
    await stream.close();
  });

  test('only GET', async () => {
    expect(await ask(handler, watchQuery(everyone), { method: 'POST' })).toMatchObject({ status: 405 });
  });
});

describe('a stream', () => {
  test('has headers that keep proxies from packing and keeping it, and no CORS', async () => {
    const { handler } = live();
    const stream = await openStream(handler, everyone, { headers: { origin: 'https://elsewhere.example.org' } });
    expect(Object.fromEntries(stream.response.headers)).toEqual({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      'x-content-type-options': 'nosniff',
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
    expect((await headers('https://evil.example.org')).get('vary')).toBe('origin');
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

  test('beats: comments, and how far the client is when others’ events went by', async () => {
    const { fake, handler } = live({ heartbeat: 1 });
    const stream = await openStream(handler, [['users:updated', 1]]);
    fake.emit('users:updated', '0/A/0', { id: 2 });
    await stream.has(({ type, lastEventId }) => type === 'position' && lastEventId === '0/A/0');
    expect(stream.parser.comments).toBeGreaterThan(0);
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

describe('a client that comes back', () => {
  test('gets what it missed, from Last-Event-ID on', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    for (const n of [1, 2, 3]) fake.emit('users:updated', `0/A/${n}`, { id: n });
    await stream.close();
    const back = await openStream(handler, everyone, { lastEventId: '0/A/1' });
    await back.has(({ type }) => type === 'position');
    expect(ids(back)).toEqual(['0/A/2', '0/A/3']);
    await back.close();
  });

  test('misses nothing even if it had heard of nothing yet', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    const { lastEventId } = await stream.has(({ type }) => type === 'position');
    await stream.close();
    fake.emit('users:updated', '0/A/0', { id: 1 });
    const back = await openStream(handler, everyone, { lastEventId });
    await back.has(({ type }) => type === 'position');
    expect(ids(back)).toEqual(['0/A/0']);
    await back.close();
  });

  test('is told to reload when the buffer no longer reaches back, or never did', async () => {
    const { fake, handler } = live({ replay: 2 });
    await (await openStream(handler, everyone)).close();
    for (const n of [1, 2, 3, 4]) fake.emit('users:updated', `0/A/${n}`, { id: n });
    for (const lastEventId of ['0/A/1', 'of another process']) {
      const back = await openStream(handler, everyone, { lastEventId });
      await back.has(({ type }) => type === 'position');
      expect(back.messages.map(({ type }) => type)).toEqual(['reset', 'position']);
      await back.close();
    }
    const back = await openStream(handler, everyone, { lastEventId: '0/A/3' });
    await back.has(({ type }) => type === 'position');
    expect(ids(back)).toEqual(['0/A/4']);
    await back.close();
  });

  test('is told to reload when a watcher was not listened to at the time', async () => {
    const { fake, handler } = live();
    await (await openStream(handler, everyone)).close();
    fake.emit('users:updated', '0/A/0', { id: 1 });
    const back = await openStream(handler, [['users:updated'], ['users:inserted']], { lastEventId: '0/A/0' });
    await back.has(({ type }) => type === 'position');
    expect(back.messages[0]!.type).toBe('reset');
    await back.close();
  });

  test('goes on in one subscription and begins in another', async () => {
    const { fake, handler } = live();
    await (await openStream(handler, everyone)).close();
    for (const n of [1, 2]) fake.emit('users:updated', `0/A/${n}`, { id: n });
    const back = await openStream(handler, [['users:updated', null, '0/A/1'], ['users:inserted'], ['users:updated']]);
    await back.has(({ type }) => type === 'position');
    expect(back.changes.map((change) => [change.for, change.event.id])).toEqual([[[0], 2]]);
    fake.emit('users:inserted', '0/B/0', { id: 3 });
    await back.has(({ lastEventId }) => lastEventId === '0/B/0');
    await back.close();
  });

  test('hears a change of two watchers, of which it had only seen one', async () => {
    const { fake, handler } = live();
    const both = [['users:inserted'], ['users:updated']];
    await (await openStream(handler, both)).close();
    fake.emit('users:inserted', '0/A/0', { id: 1 });
    fake.emit('users:updated', '0/A/0', { id: 1 });
    const back = await openStream(handler, both, { lastEventId: '0/A/0' });
    await back.has(({ type }) => type === 'position');
    expect(back.changes.map(({ watcher }) => watcher)).toEqual(['users:updated']);
    await back.close();
  });
});

describe('changes that the watch has not seen', () => {
  test('after a gap everybody is told to reload, and nobody goes on from before', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    fake.emit('users:updated', '0/A/0', { id: 1 });
    fake.tell('gap');
    await stream.has(({ type, data }) => type === 'reset' && data === 'changes were not seen');
    const back = await openStream(handler, everyone, { lastEventId: '0/A/0' });
    await back.has(({ type }) => type === 'reset');
    for (const one of [stream, back]) await one.close();
  });

  test('a worker that becomes a standby ends its streams and takes no others', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    fake.state = 'standby';
    fake.tell('standby');
    await stream.ended;
    expect(stream.messages.at(-1)!.type).toBe('reset');
    expect(await ask(handler, watchQuery(everyone))).toEqual({ status: 503, text: 'the watch is standby\n' });
  });

  test.each([
    ['resolved', undefined],
    ['rejected', new Error('lost')],
  ])('the end of the watch, %s, ends the streams', async (_, error) => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    fake.end(error);
    await stream.ended;
  });
});

describe('connections by principal', () => {
  test('are limited, and given back when they end', async () => {
    const { handler } = live({ connections: 2, principal: (request) => request.headers.get('x-user')! });
    const user = (name: string) => ({ headers: { 'x-user': name } });
    const streams = [
      await openStream(handler, everyone, user('ada')),
      await openStream(handler, everyone, user('ada')),
      await openStream(handler, everyone, user('bob')),
    ];
    expect(await ask(handler, watchQuery(everyone), user('ada'))).toEqual({
      status: 429,
      text: 'more than 2 connections at once\n',
    });
    await streams[0]!.close();
    streams.push(await openStream(handler, everyone, user('ada')));
    for (const stream of streams) await stream.close();
  });
});

test('all wrong options are told at once', () => {
  const wrong = { heartbeat: 0, replay: -1, cors: ['*'], connections: 3, authorise: () => true };
  expect(() => sse(fakeWatch().watch, wrong as never)).toThrow(/5 problems/);
});
