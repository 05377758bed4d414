export type { Annotations, BatchContext, BatchHandler, BatchOptions, Change, ChangeOf, ChangesContext, ContextOf, DeadLetter, DeadLetterFilter, DeadLetters, DeliveryContext, DeliveryOptions, ErrorAction, EventContext, EventHandler, HandlerOf, LogicalMessage, OnError, SubscribeOptions, Subscription, Transaction, Transactional } from './types/delivery.ts'; // prettier-ignore
export type { ExistingRows } from './types/delivery.ts';
export type {
  EventsOptions,
  ExistingOptions,
  ExistingSubscription,
  SlotSubscribeOptions,
  SubscriptionOf,
} from './types/existing.ts';
export {
  ConfigurationError, type ConfigurationIssue, errorCodes, ProtocolError, type RetryClass, WatchError, type WatchErrorCode, type WatchErrorDetails,
} from './errors.ts'; // prettier-ignore
export type { EventOf, FilterOf, WatcherName, WatcherNames } from './types/lookup.ts';
export type { Logger } from './types/logger.ts';
export type { MessageHandlerOf, MessageOptions } from './types/messages.ts';
export type { MessageDescriptor, OutboxMessage } from './types/outbox.ts';
export { collectMetrics } from './observe/metrics.ts';
export type { ConnectionTrace, HandlerTrace } from './delivery/tracing.ts';
export type {
  ExistingStatus, HeldBy, ReceivingTransaction, SlotWatchEventMap, SlotWatchStatus, WatcherDetails, WatchEventMap, WatchState, WatchStatus,
} from './types/events.ts'; // prettier-ignore
export { defineConfig, type PublicationOptions, type SlotOptions, type WatchOptions } from './options.ts';
export type { ConnectionConfig } from './postgres/connection-config.ts';
export { compareLsn } from './postgres/lsn.ts';
export { createWatch } from './watch/create-watch.ts';
export type { ChangesOf, SlotWatch, Watch } from './types/watch.ts';
export { defineWatchers } from './watchers/define.ts';
export { table } from './watchers/table.ts';
export type {
  CamelCaseNaming, Condition, Conditions, DefineOptions, DrizzleTable, Naming, TableDefinition, UpdateType, WatcherEntry, WatcherOptions, Watchers, WatcherSpec,
} from './types/watchers.ts'; // prettier-ignore
