/** The application: it stores an order and its message in one transaction, and does not talk to the mail provider. */
import { context, propagation, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import fastify, { type FastifyInstance } from 'fastify';
import type { Kysely } from 'kysely';
import { currentTrace } from '../opentelemetry/tracing.ts';
import { outbox } from './messages.ts';
import type { DB } from './schema.ts';

interface Order {
  readonly email: string;
  readonly total: string;
}

export function api(db: Kysely<DB>): FastifyInstance {
  const app = fastify();
  // With OpenTelemetry's instrumentation of HTTP, the request has a span without this.
  app.addHook('onRequest', ({ headers, method, url }, reply, done) => {
    const caller = propagation.extract(ROOT_CONTEXT, headers);
    const span = trace.getTracer('shop').startSpan(`${method} ${url}`, { kind: SpanKind.SERVER }, caller);
    reply.raw.once('close', () => span.end());
    context.with(trace.setSpan(caller, span), done);
  });

  const properties = {
    email: { type: 'string', format: 'email' },
    total: { type: 'string', pattern: '^\\d+\\.\\d\\d$' },
  };
  const body = { type: 'object', properties, required: ['email', 'total'] };
  app.post<{ Body: Order }>('/orders', { schema: { body } }, async ({ body: { email, total } }, reply) => {
    const id = await db.transaction().execute(async (trx) => {
      await outbox.annotate(trx, currentTrace());
      const order = await trx
        .insertInto('example.shop_orders')
        .values({ email, total })
        .returning('id')
        .executeTakeFirstOrThrow();
      // Mails to the same address are sent one after the other.
      await outbox.emit(trx, 'order.placed', { orderId: order.id, email, total }, { key: email });
      return order.id;
    });
    return reply.code(201).send({ id });
  });
  return app;
}
