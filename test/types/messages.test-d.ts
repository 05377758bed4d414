import type { Client } from 'pg';
import { expectTypeOf, test } from 'vitest';
import type {
  Annotations, DeliveryContext, LogicalMessage, MessageDescriptor, MessageHandlerOf, MessageOptions, OutboxMessage, SlotWatch, Subscription,
} from '../../src/index.ts'; // prettier-ignore
import type { Outbox } from '../../src/types/outbox.ts';

interface Messages {
  'order.placed': { id: number; total: string };
  'user.left': null;
}
interface Order {
  id: number;
  total: string;
}
declare const outbox: Outbox<Messages>;
declare const watch: SlotWatch;
declare const publish: (id: string, value: Order) => Promise<void>;

test('a handler of an outbox message gets its name, its typed value and its key', () => {
  const subscription = watch.onMessage(outbox.message('order.placed'), async ({ value, key, name }, { eventId, annotations }) => {
    expectTypeOf(name).toEqualTypeOf<'order.placed'>();
    expectTypeOf(value).toEqualTypeOf<Order>();
    expectTypeOf(key).toEqualTypeOf<string | undefined>();
    expectTypeOf(annotations).toEqualTypeOf<Annotations>();
    await publish(eventId, value);
  }, { concurrency: 8 }); // prettier-ignore
  expectTypeOf(subscription).toEqualTypeOf<Subscription>();
  watch.onMessage(outbox.message('user.left'), ({ value }) => expectTypeOf(value).toEqualTypeOf<null>());
  // @ts-expect-error no such message
  watch.onMessage(outbox.message('order.place'), () => {});
  // @ts-expect-error the value has no such property
  watch.onMessage(outbox.message('order.placed'), ({ value }) => value.totl);
  // @ts-expect-error an outbox message has no content
  watch.onMessage(outbox.message('order.placed'), ({ content }) => content);
  // @ts-expect-error a handler of another value
  watch.onMessage(
    outbox.message('order.placed'),
    ({ value }: OutboxMessage<'order.placed', { id: string }>) => value.id,
  );
});

test('a descriptor can be passed on, and its handler declared elsewhere', () => {
  const on = <N extends string, V>(message: MessageDescriptor<N, V>, handler: (value: V) => unknown) =>
    watch.onMessage(message, ({ value }) => handler(value));
  on(outbox.message('order.placed'), ({ total }) => expectTypeOf(total).toBeString());
  const handler = (message: OutboxMessage<'order.placed', Order>, context: DeliveryContext) =>
    publish(context.eventId, message.value);
  watch.onMessage(outbox.message('order.placed'), handler, { timeout: 1000 });
  expectTypeOf<MessageHandlerOf<OutboxMessage<'a', 1>>>().parameters.toEqualTypeOf<
    [message: OutboxMessage<'a', 1>, context: DeliveryContext]
  >();
});

test('with batch a handler gets arrays, of a plain prefix too', () => {
  watch.onMessage(outbox.message('order.placed'), (messages, { contexts, attempt, signal }) => {
    expectTypeOf(messages).toEqualTypeOf<readonly OutboxMessage<'order.placed', Order>[]>();
    expectTypeOf(contexts).toEqualTypeOf<readonly DeliveryContext[]>();
    expectTypeOf(attempt).toBeNumber();
    expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
  }, { batch: { size: 100, wait: 50, latest: true }, concurrency: 2 }); // prettier-ignore
  watch.onMessage('outbox', (messages) => expectTypeOf(messages).toEqualTypeOf<readonly LogicalMessage[]>(), {
    batch: { size: 100 },
  });
  // @ts-expect-error an array has no value
  watch.onMessage(outbox.message('order.placed'), ({ value }) => value, { batch: { size: 100 } });
  // @ts-expect-error a batch has no event id of its own
  watch.onMessage(outbox.message('order.placed'), (_, { eventId }) => eventId, { batch: { size: 100 } });
});

test('with transaction: true the context has a client', () => {
  watch.onMessage(outbox.message('order.placed'), ({ value }, { client }) => {
    expectTypeOf(client).toEqualTypeOf<Client>();
    return client.query('select $1', [value.total]);
  }, { transaction: true, name: 'sender' }); // prettier-ignore
  watch.onMessage(outbox.message('order.placed'), (_, { client, contexts }) => client.query('select $1', [contexts.length]), {
    transaction: true, batch: { size: 10 },
  }); // prettier-ignore
  // @ts-expect-error no client
  watch.onMessage(outbox.message('order.placed'), (_, { client }) => client);
});

test('a plain prefix gives bytes, and takes no option that needs a key', () => {
  watch.onMessage('outbox', ({ content, prefix }, { eventId }) => {
    expectTypeOf(content).toEqualTypeOf<Buffer>();
    return [prefix, eventId];
  });
  // @ts-expect-error concurrency
  watch.onMessage('outbox', () => {}, { concurrency: 2 });
  // @ts-expect-error a prefix has no value
  watch.onMessage('outbox', ({ value }) => value);
});

test('misspelt options are refused', () => {
  const message = outbox.message('order.placed');
  // @ts-expect-error concurrency
  watch.onMessage(message, () => {}, { name: 'x', concurency: 2 });
  // @ts-expect-error existing rows are of tables
  watch.onMessage(message, () => {}, { name: 'x', existing: 'v1' });
  // @ts-expect-error latest
  watch.onMessage(message, () => {}, { batch: { size: 2, lastest: true } });
  // @ts-expect-error attempts
  watch.onMessage(message, () => {}, { name: 'x', onError: { attempts: 8, attemps: 8, then: 'stop' } });
  // @ts-expect-error timeout
  watch.onMessage('outbox', () => {}, { name: 'x', timeOut: 1000 });
  const options: MessageOptions = { concurrency: 8 };
  watch.onMessage(message, () => {}, options);
});
