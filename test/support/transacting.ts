/** From the decoder's messages to the handlers of whole transactions, without a server. */
import { TypeCatalog } from '../../src/postgres/types.ts';
import { Budget } from '../../src/changes/budget.ts';
import { Dispatcher } from '../../src/delivery/dispatcher.ts';
import type { Failure } from '../../src/delivery/recipient.ts';
import { type Captured, Ledger } from '../../src/changes/ledger.ts';
import type { Change, DeliveryContext, DeliveryOptions } from '../../src/types/delivery.ts';
import type { WatchError } from '../../src/errors.ts';
import { Intake } from '../../src/stream/intake.ts';
import { type Routed, Router } from '../../src/routing/router.ts';
import { Subscriptions } from '../../src/routing/subscriptions.ts';
import { planRelation } from '../../src/watchers/plan.ts';
import type { WatcherEntry, Watchers } from '../../src/types/watchers.ts';
import { noSession } from './routing.ts';
import { boundWhen, relationOf, usersTable } from './sample-tables.ts';

const table = usersTable({ replicaIdentity: 'full' });
const relation = relationOf(table);
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const inserted: readonly WatcherEntry[] = [['users', 'inserted']];

/** A transaction whose events may hold anything. */
interface AnyTransaction extends AsyncIterable<Change> {
  toArray(): Promise<readonly Change[]>;
}

interface Options {
  readonly entries?: readonly WatcherEntry[];
  readonly when?: Watchers['when'];
  /** Bytes of a transaction that are kept for further attempts. */
  readonly limit?: number;
}

/** Each change takes 100 bytes, plus the cost of holding it. */
export function transacting({ entries = inserted, when, limit = 1_000_000 }: Options = {}) {
  const bound = boundWhen(when, table, ...entries);
  const types = new TypeCatalog(undefined);
  const plan = planRelation(relation, bound, types)!;
  const budget = new Budget(Infinity, () => {}, () => {}); // prettier-ignore
  const ledger = new Ledger(budget, () => {});
  const failures: Failure[] = [];
  const stops: WatchError[] = [];
  const warnings: WatchError[] = [];
  const dispatcher = new Dispatcher(ledger, {
    failed: (failure) => failures.push(failure),
    stop: (error) => stops.push(error),
    warn: (warning) => warnings.push(warning),
    bury: () => Promise.reject(new Error('this test has no database')),
  });
  const router = new Router(
    bound.map(({ watcher }) => watcher),
    (...delivery) => dispatcher.deliver(...delivery),
    silent,
    { ledger, limit },
  );
  router.bind(bound, types);
  /** Like a gate that holds changes which other sessions do not see yet. */
  let held: (Routed & Captured)[] | undefined;
  const intake: Intake = new Intake(ledger, {
    emit: (captured) => {
      if (held) {
        ledger.hold(captured);
        held.push(captured);
      } else router.push(captured);
    },
    get wantsCommits() {
      return router.transactions.wanted || held !== undefined;
    },
    wantsMessages: () => true,
    refusedAnnotation: () => {},
  });
  const subscriptions = new Subscriptions(router, { onError: 'retry' }, noSession);
  const tuple = (id: string) => plan.wanted.map((index) => (relation.columns[index]!.name === 'id' ? id : 'x'));
  const begin = (finalLsn: bigint) => intake.begin({ tag: 'begin', finalLsn, committedAt: 0, xid: 7 });
  const insert = (...ids: readonly (string | number)[]) => {
    for (const id of ids) intake.change({ tag: 'insert', relation, new: tuple(String(id)) }, () => plan, 100);
  };
  const commit = (commitLsn: bigint) => intake.commit({ tag: 'commit', commitLsn, endLsn: commitLsn + 8n });
  return {
    budget, ledger, dispatcher, router, intake, subscriptions, failures, stops, warnings, begin, insert, commit,
    on: (handler: (transaction: AnyTransaction, context: DeliveryContext) => unknown, options?: DeliveryOptions) =>
      subscriptions.subscribeToTransactions(handler, options),
    update: (id: string, old: string = id) =>
      intake.change({ tag: 'update', relation, new: tuple(id), old: tuple(old) }, () => plan, 100),
    /** A whole transaction. */
    send: (lsn: bigint, ...ids: readonly (string | number)[]) => {
      begin(lsn);
      insert(...ids);
      commit(lsn);
    },
    /** From now on changes are held; or the held changes pass. */
    hold: () => (held = []),
    release: () => {
      const passing = held ?? [];
      held = undefined;
      for (const captured of passing) {
        router.push(captured);
        ledger.settle(captured);
      }
    },
  }; // prettier-ignore
}

/** A handler that reads everything; `read` gets the ids of each transaction that it has read completely. */
export function reading(read: unknown[][]) {
  return async (transaction: AnyTransaction) => {
    const ids: unknown[] = [];
    for await (const { event } of transaction) ids.push(event.id);
    read.push(ids);
  };
}
