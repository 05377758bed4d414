import { tracingChannel } from 'node:diagnostics_channel';
import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
import type { Kysely } from 'kysely';
import type { Client, ClientConfig, Pool } from 'pg';
import type { Logger as PinoLogger } from 'pino';
import type postgres from 'postgres';
import * as promClient from 'prom-client';
import { describe, expectTypeOf, test } from 'vitest';
import {
  collectMetrics, ConfigurationError, type ConfigurationIssue, type ConnectionTrace, createWatch, defineWatchers, type DeliveryContext, errorCodes, type HandlerTrace, type Logger, ProtocolError, type SlotWatch,
  type SlotWatchStatus, type Watch, type WatcherName, type Watchers, WatchError, type WatchErrorCode, type WatchOptions, type WatchStatus,
} from '../../src/index.ts'; // prettier-ignore
import type { DB } from './database.ts';

const watchers = defineWatchers<DB>()([
  ['users', 'updated', { extraColumns: ['email'] }],
  ['users', 'deleted'],
]);
type W = typeof watchers;
declare const slotWatch: SlotWatch<W>;

test('createWatch keeps the types of its watchers', () => {
  expectTypeOf(createWatch<W>).returns.toEqualTypeOf<SlotWatch<W>>();
  const make = () => createWatch({ slot: 'worker', watchers });
  expectTypeOf(make).returns.toEqualTypeOf<SlotWatch<W>>();
});

describe('a SlotWatch is', () => {
  test('a Watch<typeof watchers>, which application code takes', () => {
    expectTypeOf<SlotWatch<W>>().toExtend<Watch<W>>();
    const application = (watch: Watch<typeof watchers>) =>
      watch.subscribe('users:updated', (event) => expectTypeOf(event.email).toBeString());
    application(slotWatch);
  });

  test('a Watch, for code that works with any watchers', () => {
    expectTypeOf<SlotWatch<W>>().toExtend<Watch>();
    expectTypeOf<SlotWatch<W>>().toExtend<SlotWatch>();
    expectTypeOf<SlotWatch<W>>().toExtend<SlotWatch<any>>();
  });

  test('more than a Watch', () => {
    expectTypeOf<Watch<W>>().not.toExtend<SlotWatch<W>>();
  });
});

test('status() of a slot has more fields than that of other watches', () => {
  expectTypeOf(slotWatch.status()).toEqualTypeOf<SlotWatchStatus>();
  expectTypeOf<SlotWatchStatus['receiving']>().toEqualTypeOf<
    { readonly xid: number; readonly committedAt: Date; readonly changes: number; readonly bytes: number } | undefined
  >();
  expectTypeOf<Watch<W>['status']>().returns.toEqualTypeOf<WatchStatus>();
  expectTypeOf<SlotWatchStatus>().toExtend<WatchStatus>();
});

test('a watch can be started, stopped and disposed of', () => {
  expectTypeOf<SlotWatch<W>['start']>().toEqualTypeOf<() => Promise<void>>();
  expectTypeOf<SlotWatch<W>['stop']>().toEqualTypeOf<() => Promise<void>>();
  expectTypeOf<SlotWatch<W>['closed']>().toEqualTypeOf<Promise<void>>();
  expectTypeOf<SlotWatch<W>>().toExtend<AsyncDisposable>();
  expectTypeOf<SlotWatch<W>['details']>().parameter(0).toEqualTypeOf<WatcherName<W>>();
});

test('a watch with a slot has caughtUp() and health()', () => {
  expectTypeOf<SlotWatch<W>['caughtUp']>().toEqualTypeOf<
    (options?: { readonly signal?: AbortSignal }) => Promise<void>
  >();
  expectTypeOf<SlotWatch<W>['health']>().toEqualTypeOf<
    () => { readonly live: boolean; readonly ready: boolean; readonly reasons: readonly string[] }
  >();
  expectTypeOf<Watch<W>>().not.toHaveProperty('caughtUp');
});

test('metrics are collected from any watch with a slot; prom-client is passed in', () => {
  expectTypeOf(collectMetrics).toEqualTypeOf<
    (watch: SlotWatch<any>, promClient: object, options?: { readonly registers?: readonly object[] }) => void
  >();
  void (() => collectMetrics(slotWatch, promClient, { registers: [promClient.register] }));
  // @ts-expect-error a watch without a slot
  void (() => collectMetrics(slotWatch as Watch<W>, promClient));
});

test('the messages of tracing channels are typed', () => {
  tracingChannel<unknown, HandlerTrace>('walwatch:handler').asyncEnd.subscribe((message) => {
    expectTypeOf((message as HandlerTrace).context).toEqualTypeOf<DeliveryContext>();
  });
  expectTypeOf<HandlerTrace['error']>().toBeUnknown();
  expectTypeOf<ConnectionTrace['connects']>().toBeNumber();
});

test('each event of a watch has its own value, and on() returns a function that removes the listener', () => {
  const remove = slotWatch.on('connected', ({ reconnects }) => expectTypeOf(reconnects).toBeNumber());
  expectTypeOf(remove).toEqualTypeOf<() => void>();
  slotWatch.on('error', (error) => expectTypeOf(error).toEqualTypeOf<WatchError>());
  slotWatch.on('warning', ({ code }) => expectTypeOf(code).toEqualTypeOf<WatchErrorCode>());
  slotWatch.on('acknowledged', ({ lsn }) => expectTypeOf(lsn).toBeString());
  slotWatch.on('gap', ({ from }) => expectTypeOf(from).toEqualTypeOf<string | undefined>());
  // @ts-expect-error unknown event
  slotWatch.on('reconnected', () => {});
  // @ts-expect-error an event of a slot, which not every watch has
  (slotWatch as Watch<W>).on('acknowledged', () => {});
});

describe('options of createWatch', () => {
  test('accept a URL or the configuration of pg', () => {
    expectTypeOf<string | ClientConfig>().toExtend<NonNullable<WatchOptions['connection']>>();
  });

  test('accept no client or pool, because walwatch opens its own sessions', () => {
    const make = (pool: Pool, client: Client, db: NodePgDatabase, kysely: Kysely<DB>, sql: postgres.Sql) => {
      // @ts-expect-error a pool
      createWatch({ slot: 'worker', watchers, connection: pool });
      // @ts-expect-error a client
      createWatch({ slot: 'worker', watchers, connection: client });
      // @ts-expect-error a Drizzle database
      createWatch({ slot: 'worker', watchers, connection: db });
      // @ts-expect-error a Kysely
      createWatch({ slot: 'worker', watchers, connection: kysely });
      // @ts-expect-error postgres.js
      createWatch({ slot: 'worker', watchers, connection: sql });
    };
    expectTypeOf(make).toBeFunction();
  });

  test('must include a slot and watchers, and must not have unknown names', () => {
    expectTypeOf<{ slot: string; watchers: W }>().toExtend<WatchOptions<W>>();
    expectTypeOf<{ slot: { temporary: true }; watchers: W }>().toExtend<WatchOptions<W>>();
    // @ts-expect-error watchers are missing
    void (() => createWatch({ slot: 'worker' }));
    // @ts-expect-error a slot is missing
    void (() => createWatch({ watchers }));
    // @ts-expect-error a durable slot needs a name
    void (() => createWatch({ slot: { onLost: 'recreate' }, watchers }));
    // @ts-expect-error a temporary slot is lost with every connection
    void (() => createWatch({ slot: { temporary: true, onLost: 'recreate' }, watchers }));
    // @ts-expect-error stopTimeout
    void (() => createWatch({ slot: 'worker', watchers, stopTimeOut: 1 }));
    // @ts-expect-error entries that defineWatchers did not check
    void (() => createWatch({ slot: 'worker', watchers: [['users', 'updated']] }));
  });

  test("accept pino's logger, or an object with the same methods", () => {
    expectTypeOf<PinoLogger>().toExtend<Logger>();
    expectTypeOf<PinoLogger<'audit'>>().toExtend<Logger>();
    expectTypeOf<Console>().toExtend<Logger>();
    expectTypeOf<Pick<PinoLogger, 'info' | 'error'>>().not.toExtend<Logger>();
    expectTypeOf<Logger['error']>().toEqualTypeOf<(fields: object, message?: string) => void>();
    void ((logger: PinoLogger) => createWatch({ slot: 'worker', watchers, logger }));
  });
});

describe('errors', () => {
  test('have one of the listed codes', () => {
    expectTypeOf<WatchError['code']>().toEqualTypeOf<WatchErrorCode>();
    expectTypeOf<(typeof errorCodes)[number]>().toEqualTypeOf<WatchErrorCode>();
    expectTypeOf<
      'CONNECTION' | 'SLOT_LOST' | 'VALUE_ABSENT' | 'HANDLER_FAILED' | 'STOPPED'
    >().toExtend<WatchErrorCode>();
    expectTypeOf<string>().not.toExtend<WatchErrorCode>();
  });

  test('have a solution', () => {
    expectTypeOf<WatchError>().toExtend<Error>();
    expectTypeOf<WatchError['retry']>().toEqualTypeOf<'soon' | 'slowly' | 'never'>();
    expectTypeOf<WatchError['help']>().toEqualTypeOf<string>();
    expectTypeOf<WatchError['solution']>().toEqualTypeOf<string | undefined>();
    expectTypeOf<WatchError['cause']>().toBeUnknown();
  });

  test('are narrowed by their class, and then by their code', () => {
    expectTypeOf<ConfigurationError['code']>().toEqualTypeOf<'CONFIGURATION'>();
    expectTypeOf<ProtocolError['code']>().toEqualTypeOf<'PROTOCOL'>();
    const report = (error: WatchError) => {
      if (error instanceof ConfigurationError) return error.issues;
      if (error instanceof ProtocolError) return error.offset;
      return error.code;
    };
    expectTypeOf(report).returns.toEqualTypeOf<readonly ConfigurationIssue[] | number | WatchErrorCode>();
  });
});

test('a watch of an empty list accepts no subscription', () => {
  const none = defineWatchers<DB>()([]);
  expectTypeOf(none).toExtend<Watchers>();
  const use = (watch: Watch<typeof none>) => {
    // @ts-expect-error not watched
    watch.subscribe('users:updated', () => {});
    return watch.status();
  };
  expectTypeOf(use).parameter(0).toHaveProperty('start');
  expectTypeOf(createWatch<typeof none>).returns.toExtend<Watch<typeof none>>();
});
