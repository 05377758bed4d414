import { describe, expect, test } from 'vitest';
import { sse } from '../../../src/sse/index.ts';
import { ask, openStream, watchQuery } from '../../support/event-stream.ts';
import { fakeWatch } from '../../support/fake-watch.ts';
import { everyone, live } from '../../support/live.ts';

describe('nothing is served without authorize', () => {
  test('everything is denied, and the answer says how to allow subscriptions', async () => {
    const handler = sse(fakeWatch().watch, undefined as never);
    expect(await ask(handler, watchQuery(everyone))).toEqual({
      status: 403,
      text: expect.stringContaining('authorize: onlyOwn('),
    });
  });

  test('authorize is called for each subscription, and a denied one does not affect the others', async () => {
    const asked: unknown[] = [];
    const { fake, handler } = live({
      authorize: async (_, wanted) => {
        asked.push(wanted);
        return wanted.watcher !== 'users:updated';
      },
    });
    const wanted = [['users:updated', { role_id: 7 }], ['users:inserted'], ['users:updated', '42']];
    const stream = await openStream(handler, wanted);
    const { data } = await stream.has(({ type }) => type === 'refused');
    expect(JSON.parse(data)).toEqual({
      for: [0],
      code: 'DENIED',
      reason: expect.stringContaining(`'users:updated' for {"role_id":7}`),
    });
    fake.emit('users:inserted', '0/A/0', { id: 1 });
    await stream.has(({ type }) => type === 'message');
    expect(stream.changes).toMatchObject([{ for: [1] }]);
    await stream.close();
    expect(asked).toEqual([
      { watcher: 'users:updated', kind: 'columns', columns: { role_id: 7 } },
      { watcher: 'users:inserted', kind: 'all' },
      { watcher: 'users:updated', kind: 'id', column: 'id', id: '42' },
    ]);
    expect(fake.subscriptions('users:updated')).toBe(0);
  });

  test('only true allows a subscription', async () => {
    const { handler } = live({ authorize: () => 'yes' as never });
    expect((await ask(handler, watchQuery(everyone))).status).toBe(403);
  });

  test('if authorize throws, nothing is served and the caller gets the error', async () => {
    const { handler } = live({ authorize: () => Promise.reject(new Error('no session store')) });
    await expect(ask(handler, watchQuery(everyone))).rejects.toThrow('no session store');
  });
});

describe('only declared watchers and columns can be subscribed to', () => {
  const { handler } = live();
  test.each([
    [[['others:updated']], `unknown watcher "others:updated"`],
    [[['__proto__']], `unknown watcher "__proto__"`],
    [[['users:updated', { password: 'x' }]], `'password' is neither part of the primary key nor in extraColumns`],
    [
      [['users:updated', JSON.parse('{"__proto__":1}')]],
      `'__proto__' is neither part of the primary key nor in extraColumns`,
    ],
    [[['users:updated', {}]], 'the filter names no column'],
    [[['users:inserted', 1]], `'inserted' cannot be filtered by id`],
    [[['users:truncated', 1]], 'cannot be filtered'],
    [[['lines:updated', 1]], 'the primary key has 2 columns'],
  ])('%j is a 400 with the reason', async (watch, reason) => {
    expect(await ask(handler, watchQuery(watch))).toEqual({ status: 400, text: expect.stringContaining(reason) });
  });

  test('a 400 names every problem', async () => {
    const { text } = await ask(handler, watchQuery([['nobody'], ['users:updated', { a: 1, b: 2 }]]));
    expect(text.trim().split('\n')).toHaveLength(3);
  });

  test('an id is answered with Retry-After while the name of its column is not known yet', async () => {
    expect((await ask(handler, watchQuery([['unbound:updated', 1]]))).status).toBe(503);
    const stream = await openStream(handler, [['unbound:updated', { role_id: 1 }]]);
    await stream.close();
  });

  test('methods other than GET and POST are refused', async () => {
    expect(await ask(handler, watchQuery(everyone), { method: 'PUT' })).toMatchObject({ status: 405 });
  });
});

describe('a POST with JSON', () => {
  const json = { 'content-type': 'application/json' };
  const post = (handler: (request: Request) => Promise<Response>, body: string, headers: object = json) =>
    ask(handler, '', { method: 'POST', body, headers: { ...headers } });

  test('can contain more subscriptions than a URL', async () => {
    const { fake, handler } = live();
    const watch = Array.from({ length: 100 }, (_, id) => ['users:updated', { id, name: 'x'.repeat(1000) }]);
    const stream = await openStream((request) => handler(new Request('http://localhost/live', {
      method: 'POST', headers: json, body: JSON.stringify({ watch }), signal: request.signal,
    })), []); // prettier-ignore
    fake.emit('users:updated', '0/A/0', { id: 99, name: 'x'.repeat(1000) });
    await stream.has(({ type }) => type === 'message');
    expect(stream.changes).toMatchObject([{ for: [99] }]);
    await stream.close();
  });

  test.each([
    ['{"watch":[]}', json, 400, 'one or more'],
    ['[["users:updated"]]', json, 400, 'must be a list of one or more subscriptions'],
    ['null', json, 400, 'must be a list of one or more subscriptions'],
    ['{', json, 400, 'the body is not JSON'],
    ['', json, 400, 'the body is not JSON'],
    [`{"watch":["${'x'.repeat(300_000)}"]}`, json, 413, 'larger than 262144 bytes'],
    ['{"watch":[["users:updated"]]}', { 'content-type': 'text/plain' }, 415, 'application/json'],
    ['{"watch":[["users:updated"]]}', {}, 415, 'application/json'],
    ['{"watch":[["others"]]}', json, 400, 'unknown watcher "others"'],
  ])('%.40s is refused with a reason', async (body, headers, status, reason) => {
    const { handler } = live();
    expect(await post(handler, body, headers)).toEqual({ status, text: expect.stringContaining(reason) });
  });

  test('is answered with the reason for each subscription if all are refused and the client accepts JSON', async () => {
    const { handler } = live({ authorize: () => false });
    const body = '{"watch":[["users:updated",1],["others"],["users:updated",1]]}';
    const { status, text } = await post(handler, body, { ...json, accept: 'text/event-stream, application/json' });
    expect([status, JSON.parse(text)]).toEqual([
      403,
      {
        refused: [
          { for: [1], code: 'UNKNOWN', reason: 'unknown watcher "others"' },
          { for: [0, 2], code: 'DENIED', reason: expect.stringContaining("'users:updated' for 1") },
        ],
      },
    ]);
  });
});

describe('connections of one principal', () => {
  test('are limited, and an ended connection frees its place', async () => {
    const { handler } = live({ connections: 2, principal: (request) => request.headers.get('x-user')! });
    const user = (name: string) => ({ headers: { 'x-user': name } });
    const streams = [
      await openStream(handler, everyone, user('ada')),
      await openStream(handler, everyone, user('ada')),
      await openStream(handler, everyone, user('bob')),
    ];
    expect(await ask(handler, watchQuery(everyone), user('ada'))).toEqual({
      status: 429,
      text: 'this user already has 2 open connections\n',
    });
    await streams[0]!.close();
    streams.push(await openStream(handler, everyone, user('ada')));
    for (const stream of streams) await stream.close();
  });
});

test('all wrong options are reported at once', () => {
  const wrong = { subscriptions: 0, heartbeat: 0, replay: -1, cors: ['*'], connections: 3, authorise: () => true };
  expect(() => sse(fakeWatch().watch, wrong as never)).toThrow(/6 problems/);
});
