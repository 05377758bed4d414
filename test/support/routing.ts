import type { ExactlyOnceHost } from '../../src/delivery/exactly-once.ts';
import type { Table } from '../../src/postgres/tables.ts';
import { TypeCatalog } from '../../src/postgres/types.ts';
import { Budget } from '../../src/changes/budget.ts';
import { Ledger } from '../../src/changes/ledger.ts';
import type { WatchError } from '../../src/errors.ts';
import type { Logger } from '../../src/types/logger.ts';
import { Router } from '../../src/routing/router.ts';
import { Subscriptions } from '../../src/routing/subscriptions.ts';
import { planRelation } from '../../src/watchers/plan.ts';
import type { UpdateType, WatcherEntry, Watchers } from '../../src/types/watchers.ts';
import { changeOf, type Values } from './sample-changes.ts';
import { boundWhen, relationOf } from './sample-tables.ts';

/** The parts that a router needs for subscriptions to whole transactions. */
export function noTransactions() {
  return { ledger: new Ledger(new Budget(Infinity, () => {}, () => {}), () => {}), limit: 1_000_000 }; // prettier-ignore
}

/** A router over one table, which records its deliveries. */
export function routingFor(table: Table, ...entries: readonly WatcherEntry[]) {
  return routingWhen(undefined, table, ...entries);
}

/** The same with conditions. */
export function routingWhen(when: Watchers['when'], table: Table, ...entries: readonly WatcherEntry[]) {
  const bound = boundWhen(when, table, ...entries);
  const types = new TypeCatalog(undefined);
  const plan = planRelation(relationOf(table), bound, types)!;
  const delivered: { readonly to: string; readonly event: unknown; readonly obstacle: WatchError | undefined }[] = [];
  const lines: string[] = [];
  const warnings: WatchError[] = [];
  const debug = (_: object, message = '') => void lines.push(message);
  const log: Logger = { debug, info: debug, warn: debug, error: debug };
  const watchers = bound.map(({ watcher }) => watcher);
  const router = new Router(
    watchers,
    (subscription, deliverable, obstacle) => {
      const { event } = deliverable;
      delivered.push({ to: subscription.name, event, obstacle: obstacle as WatchError | undefined });
      subscription.handler(event, deliverable.context(1));
    },
    log,
    noTransactions(),
    (warning) => warnings.push(warning),
  );
  const bind = () => router.bind(bound, types);
  const subscriptions = new Subscriptions(router, { onError: 'retry' }, noSession);
  return {
    router,
    subscriptions,
    bind,
    lines,
    warnings,
    delivered,
    /** The names of the subscriptions that have got something since the last call. */
    receivers: () => delivered.splice(0).map(({ to }) => to),
    subscribe: (name: string | readonly string[], ...rest: readonly unknown[]) => subscriptions.subscribe(name, rest),
    changed: (type: UpdateType, row: Values, old?: Values) =>
      router.push(changeOf(plan, type, old === undefined ? { row } : { row, old })),
  };
}

/** For subscriptions without `transaction`. */
export const noSession: ExactlyOnceHost = {
  slot: 'test',
  create: false,
  open: () => Promise.reject(new Error('this test has no database')),
  history: () => ({ systemIdentifier: '', timeline: 0 }),
  warn: () => {},
};
