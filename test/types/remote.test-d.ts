/** A remote watch has the types of its watchers, like the worker's watch. It lacks only what needs a slot. */
import { expectTypeOf, test } from 'vitest';
import { defineWatchers, type SlotWatch, type Watch } from '../../src/index.ts';
import { createRemoteWatch, relay } from '../../src/nats/index.ts';
import type { DB } from './database.ts';

const watchers = defineWatchers<DB>()([['users', 'updated', { extraColumns: ['role_id'] }]]);
declare const connection: object;
declare const worker: SlotWatch<typeof watchers>;

test('application code works with both kinds of watch', () => {
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
  // @ts-expect-error unknown watcher
  remote.subscribe('users:inserted', () => {});
  // @ts-expect-error neither a primary key nor an extra column
  remote.subscribe('users:updated', { name: 'x' }, () => {});
  // @ts-expect-error the stream is missing
  createRemoteWatch({ connection, watchers });
  // @ts-expect-error only a watch with a slot can relay
  relay(remote, { connection, stream: 'accounts' });
});
