export type {
  BatchContext, BatchHandler, BatchOptions, Change, ChangeOf, ContextOf, DeadLetter, DeadLetterFilter, DeadLetters, DeliveryContext, DeliveryOptions, ErrorAction, EventContext, EventHandler, EventOf,
  FilterOf, HandlerOf, LogicalMessage, OnError, SubscribeOptions, Subscription, Transaction, Transactional, WatcherName,
} from './types/delivery.ts'; // prettier-ignore
export {
  ConfigurationError, type ConfigurationIssue, errorCodes, ProtocolError, WatchError, type WatchErrorCode,
} from './errors.ts'; // prettier-ignore
export type { Logger } from './types/logger.ts';
export { collectMetrics } from './observe/metrics.ts';
export type { ConnectionTrace, HandlerTrace } from './delivery/tracing.ts';
export type {
  SlotWatchEventMap, SlotWatchStatus, WatcherDetails, WatchEventMap, WatchState, WatchStatus,
} from './types/events.ts'; // prettier-ignore
export { defineConfig, type PublicationOptions, type SlotOptions, type WatchOptions } from './options.ts';
export { compareLsn } from './postgres/lsn.ts';
export { createWatch } from './watch/create-watch.ts';
export type { SlotWatch, Watch } from './types/watch.ts';
export { defineWatchers } from './watchers/define.ts';
export { table } from './watchers/table.ts';
export type {
  Condition, Conditions, DrizzleTable, TableDefinition, UpdateType, WatcherEntry, WatcherOptions, Watchers, WatcherSpec,
} from './types/watchers.ts'; // prettier-ignore
