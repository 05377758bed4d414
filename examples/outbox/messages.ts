/** Shared by the API, which writes messages, and by the worker, which handles them. */
import { createOutbox } from 'walwatch/outbox';

export interface Messages {
  'order.placed': { orderId: number; email: string; total: string };
}

export const outbox = createOutbox<Messages>();
