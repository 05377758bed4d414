import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { DeliveryContext } from 'walwatch';
import type { OutboxMessage } from 'walwatch/outbox';
import type { Messages } from './messages.ts';

type OrderPlaced = OutboxMessage<'order.placed', Messages['order.placed']>;

/** Returns a handler that sends the confirmation of an order, and fails unless the provider accepts it. */
export function mailer(providerUrl: string) {
  return ({ value: { orderId, email, total } }: OrderPlaced, { eventId, signal }: DeliveryContext): Promise<void> =>
    trace.getTracer('shop').startActiveSpan('send mail', { kind: SpanKind.CLIENT }, async (span) => {
      try {
        const headers: Record<string, string> = {
          'content-type': 'application/json',
          // The same at every attempt and after a crash, so the provider sends the mail once.
          'idempotency-key': eventId,
        };
        propagation.inject(context.active(), headers);
        const body = JSON.stringify({ to: email, subject: `Your order ${orderId}`, text: `Total: ${total}` });
        const response = await fetch(`${providerUrl}/mails`, { method: 'POST', headers, body, signal });
        await response.body?.cancel();
        if (!response.ok) throw new Error(`the mail provider answered ${response.status}`);
        console.log('sent', orderId, eventId);
      } catch (error) {
        span.setStatus({ code: SpanStatusCode.ERROR });
        throw error;
      } finally {
        span.end();
      }
    });
}
