/** A remote watch is typed by the watchers like the worker's; only what needs the slot is missing. */
import { expectTypeOf, test } from 'vitest';
import { defineWatchers, type SlotWatch, type Watch } from '../../src/index.ts';
import { createRemoteWatch, relay } from '../../src/nats/index.ts';
import type { DB } from './database.ts';

const watchers = defineWatchers<DB>()([['users', 'updated', { extraColumns: ['role_id'] }]]);
declare const connection: object;
declare const worker: SlotWatch<typeof watchers>;

test('application code does not care which of them it is given', () => {
  const remote = createRemoteWatch({ connection, stream: 'accounts', watchers });
  expectTypeOf(remote).toEqualTypeOf<Watch<typeof watchers>>();
  expectTypeOf(worker).toExtend<Watch<typeof watchers>>();
  expectTypeOf(remote).not.toHaveProperty('deadLetters');
  remote.subscribe('users:updated', { role_id: 7 }, (event, { previous }) => {
    expectTypeOf(event.id).toEqualTypeOf<number>();
    expectTypeOf(previous.role_id).toEqualTypeOf<typeof event.role_id | undefined>();
  });
});

test('names, filters and options are checked', () => {
  const remote = createRemoteWatch({ connection, stream: 'accounts', watchers, durable: 'mailer', onError: 'retry' });
  // @ts-expect-error there is no such watcher
  remote.subscribe('users:inserted', () => {});
  // @ts-expect-error neither primary key nor an extra column
  remote.subscribe('users:updated', { name: 'x' }, () => {});
  // @ts-expect-error the stream is missing
  createRemoteWatch({ connection, watchers });
  // @ts-expect-error only the watch that owns the slot can relay
  relay(remote, { connection, stream: 'accounts' });
});
