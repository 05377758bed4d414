/** A misspelt name must not be ignored: each call refuses it and suggests the right one. */
import * as promClient from 'prom-client';
import { describe, expect, test } from 'vitest';
import { createClient } from '../../src/client/index.ts';
import { type ConfigurationError, createWatch, defineWatchers, collectMetrics, table } from '../../src/index.ts';
import { createRemoteWatch, relay } from '../../src/nats/index.ts';
import { sse } from '../../src/sse/index.ts';
import { createTestWatch } from '../../src/testing/index.ts';

const watchers = defineWatchers([['users', 'updated', { extraColumns: ['role_id'] }]]);
const server = { connection: 'postgres://localhost/none' };
const made = () => createWatch({ ...server, slot: 'worker', watchers });
const connection = { publish() {}, subscribe() {}, status() {}, closed() {} };
const remote = () => createRemoteWatch({ connection, stream: 'accounts', watchers });
const drizzle = { [Symbol.for('drizzle:Name')]: 'users', [Symbol.for('drizzle:Columns')]: {} };
const handler = () => {};
/** An argument as JavaScript, or a variable in TypeScript, can pass it. */
const any = (options: object): any => options;

const calls: readonly (readonly [string, () => unknown, string, string])[] = [
  ['createWatch', () => createWatch({ ...server, slot: 'a', watchers, ...any({ stopTimeOut: 1 }) }), 'stopTimeOut', 'stopTimeout'],
  ['a slot', () => createWatch({ ...server, slot: any({ name: 'a', onlost: 'stop' }), watchers }), 'onlost', 'onLost'],
  ['defineWatchers', () => defineWatchers([], any({ wen: {} })), 'wen', 'when'],
  ['naming', () => defineWatchers([], { naming: any({ uppercase: true, upperCase: true }) }), 'uppercase', 'upperCase'],
  ['an entry', () => defineWatchers([['users', 'updated', any({ extraColumn: [] })]]), 'extraColumn', 'extraColumns'],
  ['a condition', () => defineWatchers([['users', 'updated']], any({ when: { 'users:update': handler } })), 'users:update', 'users:updated'],
  ['table()', () => table()(any({ tableName: 'a', primaryKey: 'id', columMap: {} })), 'columMap', 'columnMap'],
  ['table(drizzle)', () => table(any(drizzle))(any({ primarykey: 'id' })), 'primarykey', 'primaryKey'],
  ['subscribe', () => made().subscribe('users:updated', handler, any({ name: 'x', concurency: 2 })), 'concurency', 'concurrency'],
  ['a batch', () => made().subscribe('users:updated', handler, any({ batch: { size: 1, latests: true } })), 'latests', 'latest'],
  ['onError', () => made().subscribe('users:updated', handler, any({ onError: { attemps: 2, then: 'stop' } })), 'attemps', 'attempts'],
  ['events', () => made().events('users:updated', 1, any({ signal: new AbortController().signal, singal: 1 })), 'singal', 'signal'],
  ['onTransaction', () => made().onTransaction(handler, any({ timeOut: 1 })), 'timeOut', 'timeout'],
  ['onMessage', () => made().onMessage('outbox', handler, any({ onerror: 'retry' })), 'onerror', 'onError'],
  ['caughtUp', () => made().caughtUp(any({ singal: undefined })), 'singal', 'signal'],
  ['deadLetters.discard, which would mean all', () => made().deadLetters.discard(any({ id: ['1'] })), 'id', 'ids'],
  ['deadLetters.replay', () => made().deadLetters.replay(any({ watchers: 'a' })), 'watchers', 'watcher'],
  ['deadLetters.list', () => made().deadLetters.list(any({ watchr: 'a' }))[Symbol.asyncIterator]().next(), 'watchr', 'watcher'],
  ['collectMetrics', () => collectMetrics(made(), promClient, any({ register: [] })), 'register', 'registers'],
  ['relay', () => relay(made(), any({ connection, stream: 'a', limit: {} })), 'limit', 'limits'],
  ['limits', () => relay(made(), { connection, stream: 'a', limits: any({ maxage: 0 }) }), 'maxage', 'maxAge'],
  ['createRemoteWatch', () => createRemoteWatch(any({ connection, stream: 'a', watchers, durabel: 'b' })), 'durabel', 'durable'],
  ['a remote subscribe', () => remote().subscribe('users:updated', handler, any({ concurency: 2 })), 'concurency', 'concurrency'],
  ['createTestWatch', () => createTestWatch(watchers, any({ loger: false })), 'loger', 'logger'],
  ['deliver', () => createTestWatch(watchers).deliver('users:updated', { id: 1, role_id: 1 }, any({ time: 2 })), 'time', 'times'],
  ['deliverMessage', () => createTestWatch(watchers).deliverMessage('outbox', '', any({ annotation: {} })), 'annotation', 'annotations'],
  ['sse', () => sse(made(), any({ autorize: () => true })), 'autorize', 'authorize'],
]; // prettier-ignore

test.each(calls)('%s', async (_, call, given, meant) => {
  const error = await Promise.resolve()
    .then(call)
    .then(() => undefined, (thrown: unknown) => thrown as ConfigurationError); // prettier-ignore
  expect(error).toMatchObject({ name: 'ConfigurationError', code: 'CONFIGURATION' });
  expect(error!.issues).toHaveLength(1);
  expect(error!.issues[0]!.message).toContain(`'${given}'`);
  expect(error!.issues[0]!.solution).toMatch(new RegExp(`^Did you mean '${meant}'\\? Known: `));
});

describe('an unknown event of a watch', () => {
  test('is refused, and the error lists the known events', () => {
    expect(() => made().on('gaps' as never, handler)).toThrow(
      "a watch has no event 'gaps'\n    Did you mean 'gap'? Known: connected, disconnected, handlerFailed, gap, warning, error, standby, acknowledged.",
    );
    expect(() => made().on(undefined as never, handler)).toThrow('a watch has no event undefined');
    expect(made().on('standby', handler)).toBeTypeOf('function');
  });

  test('may be listened to on a remote watch if it is an event of a slot, so that the same code works for any watch', () => {
    expect(() => remote().on('gaps' as never, handler)).toThrow("a watch has no event 'gaps'");
    expect(remote().on('standby' as never, handler)).toBeTypeOf('function');
  });

  test('is refused even if the listener is missing', () => {
    expect(() => made().on('gap', undefined as never)).toThrow("the listener of 'gap' is not a function");
  });
});

test('a client in a browser refuses misspelt names as well', () => {
  const options = any({ url: 'http://localhost/', header: {} });
  expect(() => createClient(options)).toThrow(
    new TypeError(
      "walwatch/client: unknown name 'header'; known: url, withCredentials, headers, fetch, EventSource, share",
    ),
  );
  const client = createClient({ url: 'http://localhost/' });
  expect(() => client.on('error' as never, handler)).toThrow(
    "walwatch/client: unknown name 'error'; known: connected, disconnected, reset, refused, failed",
  );
  client.close();
});

describe('defineWatchers<DB>() without its second call', () => {
  test('is refused by each function that takes watchers, with a hint', () => {
    const forgotten = defineWatchers() as never;
    for (const make of [
      () => createWatch({ slot: 'a', watchers: forgotten }),
      () => createRemoteWatch({ connection, stream: 'a', watchers: forgotten }),
    ])
      expect(make).toThrow('watchers is a function: pass the list in a second call of defineWatchers<DB>()');
  });
});
