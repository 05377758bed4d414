import type { Client } from 'pg';
import { expectTypeOf, test } from 'vitest';
import type { DeliveryContext, SlotWatch } from '../../src/index.ts';
import { defineWatchers } from '../../src/index.ts';

const watchers = defineWatchers<{ users: { id: number; role_id: number } }>()([
  ['users', 'updated', { extraColumns: ['role_id'] }],
]);
declare const watch: SlotWatch<typeof watchers>;

test('with transaction: true, the context has a client, also together with an onError function', () => {
  watch.subscribe('users:updated', (event, context) => {
    expectTypeOf(event.role_id).toEqualTypeOf<number>();
    expectTypeOf(context.client).toEqualTypeOf<Client>();
  }, { transaction: true, name: 'counter' }); // prettier-ignore
  watch.subscribe('users:updated', { role_id: 1 }, (_, context) => {
    expectTypeOf(context.client).toEqualTypeOf<Client>();
  }, { transaction: true, // Annotated: else TypeScript settles on the options before it has seen `transaction`.
      onError: (error: unknown, { attempt }: DeliveryContext) => {
    expectTypeOf(error).toBeUnknown();
    expectTypeOf(attempt).toBeNumber();
    return 'deadLetter';
  } }); // prettier-ignore
  watch.onMessage('outbox', (message, { client, eventId }) => void client.query(eventId, [message.content]), {
    transaction: true,
  });
});

test('the client is missing without it', () => {
  // @ts-expect-error no client
  watch.subscribe('users:updated', (_, { client }) => client);
  // @ts-expect-error no client
  watch.subscribe('users:updated', (_, { client }) => client, { transaction: false });
  // @ts-expect-error no client
  watch.onMessage('outbox', (_, { client }) => client);
});

test('onError accepts its three forms and nothing else', () => {
  watch.subscribe('users:updated', () => {}, { onError: { attempts: 5, then: 'deadLetter' } });
  // @ts-expect-error endless retries are written as 'retry'
  watch.subscribe('users:updated', () => {}, { onError: { attempts: 5, then: 'retry' } });
  // @ts-expect-error misspelt
  watch.subscribe('users:updated', () => {}, { concurency: 2 });
});
