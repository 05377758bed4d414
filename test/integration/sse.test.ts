/** `sse()` over HTTP with a watch of PostgreSQL. */
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { sse, type SseOptions, toNodeHandler } from '../../src/sse/index.ts';
import { useDatabase } from '../support/database.ts';
import { openStream, watchQuery } from '../support/event-stream.ts';
import { deferred, until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const database = useDatabase();
const watch = watchOn(database);

interface DB {
  users: { id: number; name: string; role_id: number | null; bio: string; updated_at: Date };
}
const watchers = defineWatchers<DB>()([
  ['users', 'inserted', { extraColumns: ['name', 'role_id', 'updated_at'] }],
  ['users', 'updated', { extraColumns: ['name', 'role_id'] }],
  ['users', 'deleted', { extraColumns: ['role_id'] }],
]);

async function serve(handler: ReturnType<typeof toNodeHandler>): Promise<string> {
  const server = createServer(handler);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/live`;
}

async function live(options: Partial<SseOptions<typeof watchers>> = {}, slot = slotName()) {
  const source = watch(watchers, { slot });
  await source.start();
  const url = await serve(toNodeHandler(sse(source, { authorize: () => true, ...options })));
  return { source, url };
}

const full = () => database.sql('alter table users replica identity full');
const roles = () => database.sql(`insert into roles values (7, 'seven'), (8, 'eight') on conflict do nothing`);

test('a browser receives the same events as a handler with the same subscription: by id, by columns, or of all rows', async () => {
  await full();
  await roles();
  const { source, url } = await live();
  const wanted = [['users:updated', { role_id: 7 }], ['users:updated', '2'], ['users:inserted'], ['users:deleted', { role_id: null }]] as const; // prettier-ignore
  const handled: [number, string, object][] = [];
  const handler = (index: number) => (event: object, context: { eventId: string }) =>
    void handled.push([index, context.eventId, event]);
  source.subscribe('users:updated', { role_id: 7 }, handler(0));
  source.subscribe('users:updated', 2, handler(1));
  source.subscribe('users:inserted', handler(2));
  source.subscribe('users:deleted', { role_id: null }, handler(3));
  const stream = await openStream(url, wanted);
  await database.sql(
    `insert into users (id, name, role_id, updated_at) values (1, 'Ada', 7, '2026-01-02 03:04:05+00'), (2, 'Bob', null, 'infinity')`,
  );
  await database.sql(`update users set name = 'Ada L.' where id = 1`);
  await database.sql(`update users set role_id = 8 where id = 1`); // leaves 7
  await database.sql(`update users set name = 'A.' where id = 1`); // matches no subscription
  await database.sql(`update users set role_id = 7 where id = 2`); // enters 7
  await database.sql(`update users set role_id = null where id = 2`);
  await database.sql(`delete from users where id in (1, 2)`);
  await stream.has(({ data }) => data.includes('users:deleted'));
  const sent = stream.messages
    .filter(({ type }) => type === 'message')
    .flatMap(({ data, lastEventId }) => {
      const { for: indexes, event } = JSON.parse(data) as { for: number[]; event: object };
      return indexes.map((index) => [index, lastEventId, event]);
    });
  const order = (list: unknown[]) => list.map((one) => JSON.stringify(one)).toSorted();
  await until(() => handled.length === sent.length, { describe: 'as many events in handlers' });
  expect(order(sent)).toEqual(
    // JSON cannot express an infinite timestamp, which pg returns as Infinity.
    order(
      handled.map(([index, id, event]) => [
        index,
        id,
        JSON.parse(JSON.stringify(event, (_, value) => (value === Infinity ? 'Infinity' : value))),
      ]),
    ),
  );
  expect(sent.filter(([index]) => index === 0)).toHaveLength(4);
  expect(sent.filter(([index]) => index === 1)).toHaveLength(2);
  expect(stream.changes.find(({ event }) => event.updated_at === 'Infinity')!.types).toEqual({ updated_at: 'number' });
  await stream.close();
});

test('a client that does not read does not hold the slot back, and is cut off', async () => {
  const source = watch(watchers);
  await source.start();
  const handler = toNodeHandler(sse(source, { authorize: () => true, clientBuffer: 300_000 }));
  /** The open connections. */
  const open = new Set<object>();
  const url = await serve((request, response) => {
    open.add(request);
    response.once('close', () => open.delete(request));
    handler(request, response);
  });
  const { port, pathname, search } = new URL(url + watchQuery([['users:inserted']]));
  const stuck = connect(Number(port), '127.0.0.1');
  stuck.on('error', () => {}); // it is cut off
  onTestFinished(() => void stuck.destroy());
  stuck.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await once(stuck, 'readable'); // nothing is read from now on
  const quick = await openStream(url, [['users:inserted']]);
  expect(open.size).toBe(2);
  const came = () => quick.messages.filter(({ type }) => type === 'message').length;
  // First the socket buffers fill.
  for (let n = 1; open.size === 2 && n <= 500; n++) {
    await database.sql(`insert into users (name) select repeat('x', 100000)`);
    await until(() => came() === n, { describe: 'the fast client to receive it' });
  }
  expect(open.size).toBe(1);
  await settled(database, source);
  await quick.close();
});

test('after a restart of the worker a browser must reload, and receives all later events', async () => {
  const slot = slotName();
  const first = await live({}, slot);
  const before = await openStream(first.url, [['users:inserted']]);
  await database.sql(`insert into users (name) values ('before')`);
  const { lastEventId } = await before.has(({ data }) => data.includes('"before"'));
  await settled(database, first.source);
  await first.source.stop();
  await before.ended; // the end of the watch ends its streams
  await database.sql(`insert into users (name) values ('meanwhile')`);

  const second = await live({}, slot);
  const after = await openStream(second.url, [['users:inserted']], { lastEventId });
  await after.has(({ type }) => type === 'position');
  expect(after.messages.map(({ type }) => type).slice(0, 2)).toEqual(['reset', 'position']);
  await database.sql(`insert into users (name) values ('after')`);
  await after.has(({ data }) => data.includes('"after"'));
  await after.close();
});

test('after a lost database connection browsers continue without reloading', async () => {
  const { source, url } = await live();
  const stream = await openStream(url, [['users:inserted']]);
  await database.sql(`insert into users (name) values ('one')`);
  await stream.has(({ data }) => data.includes('"one"'));
  await settled(database, source); // otherwise it would be delivered again
  await database.sql(`select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1`, [
    source.status().slot,
  ]);
  await database.sql(`insert into users (name) values ('two')`);
  await stream.has(({ data }) => data.includes('"two"'));
  expect(stream.messages.map(({ type }) => type).filter((type) => type !== 'position')).toEqual(['message', 'message']);
  await stream.close();
});

test('the Node adapter handles malformed requests, failing handlers, and clients that disconnect during authorize', async () => {
  const source = watch(watchers);
  const first = deferred();
  const verdict = deferred<boolean>();
  let asked = 0;
  const url = await serve(
    toNodeHandler(
      sse(source, {
        authorize: (request) => {
          if (request.headers.get('x-fail')) throw new Error('no session store');
          if (asked++ > 0) return true;
          first.resolve();
          return verdict.promise;
        },
        principal: () => 'somebody',
        connections: 1,
      }),
    ),
  );
  const path = url + watchQuery([['users:inserted']]);
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
  expect((await fetch(path, { headers: { 'x-fail': '1' } })).status).toBe(500);
  expect((await warned).message).toBe('no session store');

  const abortion = new AbortController();
  const gone = fetch(path, { signal: abortion.signal }).catch((error: unknown) => error);
  await first.promise;
  abortion.abort();
  await gone;
  verdict.resolve(true);
  // Its place is free as soon as the server notices that it has disconnected.
  const stream = await until(() => openStream(url, [['users:inserted']]).catch(() => undefined), {
    describe: 'a free place',
  });
  await expect(openStream(url, [['users:inserted']])).rejects.toThrow('429');
  await stream.close();

  const malformed = httpRequest(url, { headers: { host: 'a b' } });
  malformed.end();
  const [response] = await once(malformed, 'response');
  expect(response.statusCode).toBe(400);
  response.resume();
});
