/** Clients that request changes they may not see, or too many at once. */
import { describe, expect, test } from 'vitest';
import { onlyOwn } from '../../src/sse/index.ts';
import { ask, openStream, type Stream, watchQuery } from '../support/event-stream.ts';
import { everyone, ids, live } from '../support/live.ts';
import { deferred, until } from '../support/until.ts';

describe('onlyOwn allows only rows with the requester’s value', () => {
  const all = { watcher: 'users:updated', kind: 'all' } as const;
  const id = (value: any) => ({ watcher: 'users:updated', kind: 'id', column: 'id', id: value }) as const;
  const columns = (values: any) => ({ watcher: 'users:updated', kind: 'columns', columns: values }) as const;
  const request = new Request('http://localhost/live');

  test.each([
    ['role_id', 7, columns({ role_id: 7 })],
    ['role_id', 7, columns({ role_id: 7, name: 'Ada' })], // fewer rows
    ['id', 7, id(7)],
    ['id', 7, columns({ id: 7 })],
    ['id', '7', id('7')],
    ['id', '7', id(7)], // a key that is typed as text because it is a bigint
    ['id', 7n, id('7')],
  ])('allowed: %s %s', async (column, own, subscription) => {
    expect(await onlyOwn(column, own)(request, subscription)).toBe(true);
    expect(await onlyOwn(column, async () => own)(request, subscription)).toBe(true);
  });

  test.each([
    ['nobody', 'role_id', undefined, columns({ role_id: undefined })],
    ['no user, and another column', 'role_id', undefined, columns({ name: 'Ada' })],
    ['no user, and all rows', 'role_id', undefined, all],
    ['no user, and an id', 'id', undefined, id(7)],
    ['null is not a user', 'role_id', null, columns({ role_id: null })],
    ['NaN is not a user', 'role_id', NaN, columns({ role_id: NaN })],
    ['all rows', 'role_id', 7, all],
    ['another value', 'role_id', 7, columns({ role_id: 8 })],
    ['another column', 'role_id', 7, columns({ name: 7 })],
    ['a column of the prototype', 'constructor', 7, columns({})],
    ['an id that is another column’s', 'role_id', 7, id(7)],
    ['another type', 'role_id', 7, columns({ role_id: '7' })],
    ['true is not 1', 'role_id', 1, columns({ role_id: true })],
    ['a boolean is not a bigint', 'role_id', 1n, columns({ role_id: true })],
    ['an empty text is not 0', 'role_id', 0, columns({ role_id: '' })],
  ])('denied: %s', async (_, column, own, subscription) => {
    expect(await onlyOwn(column, own)(request, subscription)).toBe(false);
    expect(await onlyOwn(column, async () => own)(request, subscription)).toBe(false);
  });
});

describe('a right that is granted later reveals no earlier changes', () => {
  const asked = [['users:updated', { role_id: 7 }]];
  const row = (n: number) => ({ id: n, role_id: 7 });
  /** A header names the user of a request. */
  const from = (user: string, lastEventId?: string) => ({
    headers: { 'x-user': user },
    ...(lastEventId !== undefined && { lastEventId }),
  });
  const principal = (request: Request) => request.headers.get('x-user') ?? undefined;
  async function caughtUp(stream: Stream) {
    await stream.has(({ type }) => type === 'position');
    await stream.close();
    return { ids: ids(stream), reset: stream.messages.some(({ type }) => type === 'reset') };
  }

  test.each([
    ['with a principal', { principal }],
    ['without one', {}],
  ])('%s: Bob is granted the role later, and sends an earlier id of Ada', async (_, options) => {
    const allowed = new Set(['ada']);
    const { fake, handler } = live({ ...options, authorize: (request) => allowed.has(principal(request)!) });
    const ada = await openStream(handler, asked, from('ada'));
    const { lastEventId } = await ada.has(({ type }) => type === 'position');
    fake.emit('users:updated', '0/A/0', row(1));
    await ada.close();
    await expect(openStream(handler, asked, from('bob', lastEventId))).rejects.toThrow('403');
    allowed.add('bob');
    expect(await caughtUp(await openStream(handler, asked, from('bob', lastEventId)))).toEqual({
      ids: [],
      reset: true,
    });
    expect(await caughtUp(await openStream(handler, asked, from('ada', lastEventId)))).toEqual({
      ids: ['0/A/0'],
      reset: false,
    });
    fake.emit('users:updated', '0/B/0', row(2));
    expect(await caughtUp(await openStream(handler, asked, from('bob', '0/A/0')))).toEqual({
      ids: ['0/B/0'],
      reset: false,
    });
  });

  test('a user who was denied in between must load again', async () => {
    let allowed = true;
    const { fake, handler } = live({ principal, authorize: () => allowed });
    const first = await openStream(handler, asked, from('ada'));
    const { lastEventId } = await first.has(({ type }) => type === 'position');
    await first.close();
    allowed = false;
    await expect(openStream(handler, asked, from('ada', lastEventId))).rejects.toThrow('403');
    fake.emit('users:updated', '0/A/0', row(1));
    allowed = true;
    expect(await caughtUp(await openStream(handler, asked, from('ada', lastEventId)))).toEqual({
      ids: [],
      reset: true,
    });
  });

  test('a right to some rows gives no right to others', async () => {
    const { fake, handler } = live({ principal });
    const first = await openStream(handler, asked, from('ada'));
    const { lastEventId } = await first.has(({ type }) => type === 'position');
    fake.emit('users:updated', '0/A/0', { id: 1, role_id: 8 });
    await first.close();
    for (const other of [[['users:updated']], [['users:updated', { role_id: 8 }]], [['users:updated', 1, lastEventId]]])
      expect(await caughtUp(await openStream(handler, other, from('ada', lastEventId)))).toEqual({ ids: [], reset: true }); // prettier-ignore
  });

  test('a client that returns after maxAge must load again', async () => {
    const { fake, handler } = live({ principal, maxAge: 1 });
    const first = await openStream(handler, asked, from('ada'));
    const { lastEventId } = await first.has(({ type }) => type === 'position');
    await first.ended;
    fake.emit('users:updated', '0/A/0', row(1));
    const ended = performance.now();
    await until(() => performance.now() > ended + 1, { describe: 'a millisecond' });
    expect(await caughtUp(await openStream(handler, asked, from('ada', lastEventId)))).toEqual({
      ids: [],
      reset: true,
    });
  });
});

describe('authorize is called only within the limits', () => {
  test('authorize is not called for a user without free connections, nor without a user', async () => {
    let asked = 0;
    const verdict = deferred<boolean>();
    const { handler } = live({
      connections: 2,
      principal: (request) => request.headers.get('x-user'),
      authorize: () => {
        asked++;
        return verdict.promise;
      },
    });
    const headers = { 'x-user': 'ada' };
    const first = [openStream(handler, everyone, { headers }), openStream(handler, everyone, { headers })];
    await until(() => asked === 2, { describe: 'both calls of authorize' });
    expect(await ask(handler, watchQuery(everyone), { headers })).toMatchObject({ status: 429 });
    expect(await ask(handler, watchQuery(everyone))).toEqual({
      status: 403,
      text: expect.stringContaining('returned no user'),
    });
    expect(asked).toBe(2);
    verdict.resolve(true);
    for (const stream of first) await (await stream).close();
  });

  test('authorize is called for ten subscriptions at a time, and no longer once the client has disconnected', async () => {
    let asked = 0;
    const verdicts = deferred<boolean>();
    const { handler } = live({
      connections: 1,
      principal: () => 'ada',
      authorize: () => {
        asked++;
        return verdicts.promise;
      },
    });
    const abortion = new AbortController();
    const hundred = Array.from({ length: 100 }, (_, id) => ['users:updated', id]);
    const gone = ask(handler, watchQuery(hundred), { signal: abortion.signal });
    await until(() => asked > 0, { describe: 'the first call' });
    expect(asked).toBe(10);
    abortion.abort();
    expect(await gone).toMatchObject({ status: 400 });
    // Its place is free, although authorize has not answered.
    const next = openStream(handler, everyone);
    await until(() => asked === 11, { describe: 'the next call' });
    verdicts.resolve(true);
    await (await next).close();
    expect(asked).toBe(11);
  });

  test('a client that is cut off during its refusals leaves nothing behind', async () => {
    const authorize = (_: Request, { watcher }: { watcher: string }) => watcher === 'users:updated';
    const { fake, handler } = live({ connections: 1, principal: () => 'ada', clientBuffer: 1024, authorize });
    const refused = Array.from({ length: 99 }, (_, n) => ['users:inserted', { name: String(n) }]);
    for (let round = 0; round < 2; round++) {
      const { body } = await handler(new Request(`http://localhost/live${watchQuery([...everyone, ...refused])}`));
      await expect(body!.getReader().read()).rejects.toThrow('too slow');
    }
    expect(fake.emit('users:updated', '0/A/0', { id: 1 })).toEqual([undefined]);
    await (await openStream(handler, everyone)).close();
  });

  test('a denial, an error and a disconnected client free their places', async () => {
    let verdict: () => boolean = () => false;
    const { handler } = live({ connections: 1, principal: () => 'ada', authorize: () => verdict() });
    expect(await ask(handler, watchQuery(everyone))).toMatchObject({ status: 403 });
    verdict = () => {
      throw new Error('no session store');
    };
    await expect(ask(handler, watchQuery(everyone))).rejects.toThrow('no session store');
    verdict = () => true;
    const abortion = new AbortController();
    const request = new Request(`http://localhost/live${watchQuery(everyone)}`, { signal: abortion.signal });
    const unread = await handler(request);
    expect(await ask(handler, watchQuery(everyone))).toMatchObject({ status: 429 });
    abortion.abort();
    await (await openStream(handler, everyone)).close();
    await expect(unread.body!.getReader().read()).rejects.toThrow('the client has disconnected');
  });
});
