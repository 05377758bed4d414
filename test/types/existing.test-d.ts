/** The option `existing`: its requirements, refused uses, and its progress. */
import type { NatsConnection } from '@nats-io/transport-node';
import { describe, expectTypeOf, test } from 'vitest';
import {
  defineWatchers, type ExistingRows, type ExistingStatus, type ExistingSubscription, type SlotWatch, type Subscription, type SubscriptionOf, type Watch,
} from '../../src/index.ts'; // prettier-ignore
import { createRemoteWatch, relay } from '../../src/nats/index.ts';
import type { DB } from './database.ts';

const watchers = defineWatchers<DB>()([
  ['users', 'inserted', { extraColumns: ['role_id'] }],
  ['users', 'updated', { extraColumns: ['role_id'] }],
  ['users', 'deleted'],
]);
declare const watch: SlotWatch<typeof watchers>;
declare const anyWatch: Watch<typeof watchers>;
declare const connection: NatsConnection;
const handler = () => {};

test('a subscription with existing has its progress, another one need not', () => {
  const list = watch.subscribe(['users:inserted', 'users:updated'], handler, { name: 'search', existing: 'v1' });
  expectTypeOf(list).toEqualTypeOf<ExistingSubscription>();
  expectTypeOf(list.existing).toEqualTypeOf<ExistingRows>();
  const filtered = watch.subscribe('users:inserted', { role_id: 7 }, handler, {
    name: 'search', existing: { version: 'v1', chunk: 100, afterGap: 'ignore' }, batch: { size: 10 },
  }); // prettier-ignore
  expectTypeOf(filtered.existing.done).toEqualTypeOf<Promise<void>>();
  const without = watch.subscribe('users:inserted', handler, { name: 'search' });
  expectTypeOf(without).toEqualTypeOf<Subscription>();
  expectTypeOf(without.existing).toEqualTypeOf<ExistingRows | undefined>();
  expectTypeOf(watch.status().existing).toEqualTypeOf<readonly ExistingStatus[]>();
});

test('the type of a subscription follows from its options', () => {
  expectTypeOf<SubscriptionOf<{ existing: 'v1' }>>().toEqualTypeOf<ExistingSubscription>();
  expectTypeOf<SubscriptionOf<{ existing: { version: string } }>>().toEqualTypeOf<ExistingSubscription>();
  expectTypeOf<SubscriptionOf<{ name: 'search' }>>().toEqualTypeOf<Subscription>();
});

test('context.existing may be true for inserted rows only', () => {
  watch.subscribe('users:inserted', (_, context) => expectTypeOf(context.existing).toEqualTypeOf<boolean>());
  watch.subscribe('users:updated', (_, context) => expectTypeOf(context.existing).toEqualTypeOf<false>());
  watch.subscribe(['users:inserted', 'users:deleted'], (change) => {
    expectTypeOf(change.context.existing).toEqualTypeOf<boolean>();
    if (change.type === 'deleted') expectTypeOf(change.context.existing).toEqualTypeOf<false>();
  });
});

test('an iterator with existing has its progress', () => {
  const changes = watch.events(['users:inserted', 'users:deleted'], { name: 'search', existing: 'v1' });
  expectTypeOf(changes.existing).toEqualTypeOf<ExistingRows>();
  const filtered = watch.events('users:inserted', { role_id: 7 }, { name: 'search', existing: { version: 'v1' } });
  expectTypeOf(filtered.existing.rows).toEqualTypeOf<number>();
  const without = watch.events('users:inserted');
  expectTypeOf(without).not.toHaveProperty('existing');
});

test('a relay with existing has its progress', () => {
  expectTypeOf(relay(watch, { connection, stream: 'accounts', existing: 'v1' })).toEqualTypeOf<ExistingSubscription>();
  expectTypeOf(relay(watch, { connection, stream: 'accounts' })).toEqualTypeOf<Subscription>();
});

describe('refused is', () => {
  test('existing without a name', () => {
    // @ts-expect-error Property 'name' is missing
    watch.subscribe('users:inserted', handler, { existing: 'v1' });
    // @ts-expect-error Property 'name' is missing
    watch.subscribe(['users:inserted', 'users:deleted'], handler, { existing: { version: 'v1' } });
    // @ts-expect-error Property 'name' is missing
    watch.events('users:inserted', { existing: 'v1' });
  });

  test('existing without an inserted watcher', () => {
    // @ts-expect-error "existing rows arrive as 'inserted': subscribe to the table's inserted watcher as well"
    watch.subscribe('users:updated', handler, { name: 'search', existing: 'v1' });
    // @ts-expect-error likewise
    watch.subscribe(['users:updated', 'users:deleted'], handler, { name: 'search', existing: { version: 'v1' } });
    // @ts-expect-error likewise
    watch.events(['users:updated', 'users:deleted'], { name: 'search', existing: 'v1' });
  });

  test('a misspelt option of existing, and one of a wrong type', () => {
    // @ts-expect-error 'there is no option': 'existing.chnk'
    watch.subscribe('users:inserted', handler, { name: 'search', existing: { version: 'v1', chnk: 10 } });
    // @ts-expect-error version is missing
    watch.subscribe('users:inserted', handler, { name: 'search', existing: { chunk: 10 } });
    // @ts-expect-error 'read' or 'ignore'
    watch.subscribe('users:inserted', handler, { name: 'search', existing: { version: 'v1', afterGap: 'skip' } });
    // @ts-expect-error not a boolean
    watch.subscribe('users:inserted', handler, { name: 'search', existing: true });
    // @ts-expect-error a misspelt option of the relay
    relay(watch, { connection, stream: 'accounts', exsting: 'v1' });
  });

  test('existing on a remote watch, and on a watch of either kind', () => {
    const remote = createRemoteWatch({ connection, stream: 'accounts', watchers });
    // @ts-expect-error 'there is no option': 'existing'
    remote.subscribe('users:inserted', handler, { name: 'search', existing: 'v1' });
    // @ts-expect-error 'there is no option': 'existing'
    anyWatch.subscribe('users:inserted', handler, { name: 'search', existing: 'v1' });
    // @ts-expect-error a remote watch has no option existing
    remote.events('users:inserted', { existing: 'v1' });
  });
});
