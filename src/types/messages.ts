import type { BatchOptions, ChangesContext, ClientIn, DeliveryContext, DeliveryOptions } from './delivery.ts';

/**
 * Options of `onMessage`.
 *
 * @example
 * ```ts
 * watch.onMessage(outbox.message('order.placed'), publish, { name: 'publisher', concurrency: 8 });
 * ```
 */
export interface MessageOptions extends DeliveryOptions {
  /** How many messages or batches run at the same time. Messages with the same key never do, and neither do messages without a key.
   *  Only for outbox messages: those of a plain prefix have no key. Default 1. */
  readonly concurrency?: number;
  /** Calls the handler with arrays of messages. A batch is retried and acknowledged as a whole. `latest` keeps the newest message of
   *  each key, and all messages without a key. */
  readonly batch?: BatchOptions;
}

/** The type of handler that `onMessage` expects, for this kind of message and these options. */
export type MessageHandlerOf<Message, O = {}> = (
  message: O extends { readonly batch: BatchOptions } ? readonly Message[] : Message,
  context: (O extends { readonly batch: BatchOptions } ? ChangesContext<DeliveryContext> : DeliveryContext) &
    ClientIn<O>,
) => unknown;
