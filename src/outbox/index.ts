export type { Annotations } from '../types/delivery.ts';
export type { InTransaction, JsonMessages, MessageDescriptor, Outbox, OutboxMessage, TransactionExecutor } from '../types/outbox.ts'; // prettier-ignore
export { createOutbox } from './outbox.ts';
