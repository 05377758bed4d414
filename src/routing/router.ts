import type { TypeCatalog } from '../postgres/types.ts';
import type { Stage } from '../changes/stage.ts';
import { thrownText, WatchError } from '../errors.ts';
import { CapturedChange } from '../changes/change.ts';
import type { CapturedCommit } from '../changes/commit.ts';
import type { Deliverable } from '../delivery/deliverable.ts';
import type { ConditionError } from '../delivery/recipient.ts';
import { CapturedMessage } from '../changes/message.ts';
import type { Logger } from '../types/logger.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import { isTriggered } from '../watchers/plan.ts';
import type { Watcher } from '../watchers/validate.ts';
import { MessageRoutes } from './message-routes.ts';
import { Route, type RouteHost } from './route.ts';
import { Routing } from './routing.ts';
import type { ActiveSubscription } from './subscription.ts';
import { TransactionRoutes, type TransactionRoutesHost } from './transaction-routes.ts';

export type Deliver = (
  subscription: ActiveSubscription,
  deliverable: Deliverable,
  conditionError: ConditionError,
) => void;

/** A received item to route. */
export type Routed = CapturedChange | CapturedMessage | CapturedCommit;

/** Delivers each change to the matching subscriptions. */
export class Router implements Stage, RouteHost {
  readonly routes: ReadonlyMap<string, Route>;
  /** The subscriptions to logical messages. */
  readonly messages = new MessageRoutes();
  /** The subscriptions to whole transactions. */
  readonly transactions: TransactionRoutes;
  readonly #deliver: Deliver;
  readonly #log: Logger;
  /** Reports a problem that does not stop delivery. */
  readonly warn: (warning: WatchError) => void;
  /** Gives rows that must come before a change. Undefined: no table is read. */
  splices: { before(change: CapturedChange): void } | undefined = undefined;
  routed = 0;
  /** How often row streams are counted beyond the first of their watchers. */
  repeated = 0;

  constructor(
    watchers: readonly Watcher[],
    deliver: Deliver,
    log: Logger,
    transactions: Omit<TransactionRoutesHost, 'deliver'>,
    warn: (warning: WatchError) => void = () => {},
  ) {
    this.warn = warn;
    this.routes = new Map(watchers.map((watcher) => [watcher.name, new Route(watcher, this)]));
    this.#deliver = deliver;
    this.#log = log;
    this.transactions = new TransactionRoutes({ ...transactions, deliver: (...found) => deliver(...found, undefined) });
  }

  get subscriptions(): number {
    let count = this.messages.count + this.transactions.count - this.repeated;
    for (const route of this.routes.values()) count += route.count;
    return count;
  }

  /** Called for each connection with the facts from the catalog. */
  bind(bound: readonly BoundWatcher[], types: TypeCatalog): void {
    for (const one of bound) this.routes.get(one.watcher.name)?.bind(one, types);
  }

  /** @throws WatchError, which ends the watch: the next connection would not repeat a change that was not routed */
  push(captured: Routed): void {
    this.routed++;
    this.transactions.newest = captured.transaction;
    try {
      if (captured instanceof CapturedChange) {
        if (this.splices !== undefined) this.splices.before(captured);
        this.#routeChange(captured);
      } else if (captured instanceof CapturedMessage) this.messages.route(captured, this.#deliver);
      else this.transactions.commit();
    } catch (cause) {
      throw cause instanceof WatchError ? cause : unrouted(captured.eventId, cause);
    }
  }

  #routeChange(change: CapturedChange): void {
    const { transactions } = this;
    let routing: Routing | undefined;
    for (const planned of change.plan.watchers[change.type]) {
      const route = this.routes.get(planned.bound.watcher.name)!;
      const { debug } = route.watcher;
      if (debug) this.#log.debug({ watcher: route.name, eventId: change.eventId }, `change received: ${route.name}`);
      const collected = transactions.wanted;
      if (route.count === 0 && !collected) continue;
      if (!isTriggered(planned, change.row, change.old)) continue;
      if (routing) routing.turn(planned);
      else routing = new Routing(planned, change);
      if (collected && routing.isKept) transactions.collect(routing.occurrence, routing.error);
      route.find(routing, debug ? this.#deliverWithLog : this.#deliver);
    }
  }

  /** Used for watchers with `debug`. */
  readonly #deliverWithLog: Deliver = (subscription, deliverable, conditionError) => {
    const { watcher } = deliverable;
    const { eventId } = deliverable.change;
    this.#log.debug({ watcher, eventId, subscription: subscription.name }, `delivering to ${subscription.name}`);
    this.#deliver(subscription, deliverable, conditionError);
  };
}

function unrouted(eventId: string, cause: unknown): WatchError {
  return new WatchError('PROTOCOL', `the event ${eventId} could not be routed: ${thrownText(cause)}`, {
    solution:
      'The event was not acknowledged and will be delivered again after a restart. Please report this with the stack of `cause`.',
    cause,
  });
}
