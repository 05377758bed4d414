import { Budget } from '../../src/changes/budget.ts';
import { Dispatcher } from '../../src/delivery/dispatcher.ts';
import type { LaneHost } from '../../src/delivery/lane.ts';
import type { DeliverySettings, Failure, Recipient } from '../../src/delivery/recipient.ts';
import { Ledger } from '../../src/changes/ledger.ts';
import { Occurrence } from '../../src/delivery/occurrence.ts';
import type { OnError } from '../../src/types/delivery.ts';
import type { WatchError } from '../../src/errors.ts';
import type { HandlerHook } from '../../src/delivery/handler-hook.ts';
import { ActiveSubscription } from '../../src/routing/subscription.ts';
import { changeOf, transactionAt } from './sample-changes.ts';
import { planFor, usersTable } from './sample-tables.ts';
import { type Deferred, deferred } from './until.ts';

const plan = planFor(usersTable(), ['users', 'updated']);

/** A dispatcher over a real ledger. Each event that is sent is a separate transaction, at 0/1, 0/2 and so on. */
export function dispatching({
  bury = noDatabase,
  hook,
}: { readonly bury?: LaneHost['bury']; readonly hook?: HandlerHook } = {}) {
  const warnings: WatchError[] = [];
  const failures: Failure[] = [];
  const stops: WatchError[] = [];
  const ledger = new Ledger(
    new Budget(Infinity, () => {}, () => {}),
    () => {},
  ); // prettier-ignore
  const dispatcher = new Dispatcher(ledger, {
    failed: (failure) => {
      failures.push(failure);
      hook?.failed(failure);
    },
    ...(hook ? { hook } : {}),
    stop: (error) => stops.push(error),
    warn: (warning) => warnings.push(warning),
    bury,
  });
  let sent = 0n;
  /** An update of a record; `oldId`: its primary key before, or null: unknown. */
  const send = (recipients: Recipient | readonly Recipient[], id: string, more: SendOptions = {}) => {
    const transaction = ledger.begin({ finalLsn: ++sent, xid: 1, committedAt: 0 });
    const old = more.oldId === undefined ? {} : { old: more.oldId === null ? {} : { id: more.oldId } };
    const occurrence = new Occurrence(
      plan.watchers.updated[0]!,
      changeOf(plan, 'updated', { row: { id }, ...old }, { transaction }),
    );
    for (const recipient of [recipients].flat()) dispatcher.deliver(recipient, occurrence, more.obstacle);
    ledger.commit(transaction, sent);
  };
  return { dispatcher, ledger, failures, stops, warnings, send };
}

const noDatabase = () => Promise.reject(new Error('this test has no database'));

interface SendOptions {
  readonly oldId?: string | null;
  readonly obstacle?: WatchError;
}

/** Those of a subscription without options. */
export function settingsOf(more: Partial<DeliverySettings> = {}): DeliverySettings {
  return {
    name: undefined,
    onError: 'retry',
    timeout: undefined,
    concurrency: 1,
    transaction: false,
    batch: undefined,
    ...more,
  };
}

export function recipient(handler: Recipient['handler'], more: Partial<DeliverySettings> = {}): ActiveSubscription {
  return new ActiveSubscription({ name: 'users:updated', remove: () => {} }, undefined, handler, settingsOf(more));
}

/** A dispatcher and one subscription. The test ends each call of its handler. */
export function handling(settings: Partial<DeliverySettings> = {}, options: Parameters<typeof dispatching>[0] = {}) {
  const calls: (Deferred<void> & { readonly id: number; readonly attempt: number; readonly signal: AbortSignal })[] =
    [];
  const one = recipient((event, { attempt, signal }) => {
    const done = deferred();
    calls.push({ ...done, id: event.id, attempt, signal });
    return done.promise;
  }, settings);
  return { ...dispatching(options), one, calls, ids: () => calls.map(({ id }) => id) };
}

/** The option `{ attempts, then }`. */
export function afterAttempts(attempts: number, then: 'stop' | 'skip' | 'deadLetter'): OnError {
  return { attempts, then };
}

/** An occurrence without a dispatcher. */
export function occurrence(id = '1', where: Parameters<typeof changeOf>[3] = {}): Occurrence {
  const change = changeOf(plan, 'updated', { row: { id } }, { transaction: transactionAt(0x100n), ...where });
  return new Occurrence(plan.watchers.updated[0]!, change);
}
