import type { TypeCatalog } from '../catalog/types.ts';
import type { CapturedChange } from '../delivery/change.ts';
import type { Deliverable } from '../delivery/deliverable.ts';
import type { Obstacle } from '../delivery/lane.ts';
import { CapturedMessage } from '../delivery/message.ts';
import { Occurrence } from '../delivery/occurrence.ts';
import type { Logger } from '../observe/logger.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import { absentError } from '../watchers/event.ts';
import { isTriggered, type PlannedWatcher } from '../watchers/plan.ts';
import type { Watcher } from '../watchers/validate.ts';
import { MessageRoutes } from './message-routes.ts';
import { Route } from './route.ts';
import type { ActiveSubscription } from './subscription.ts';

export type Deliver = (subscription: ActiveSubscription, deliverable: Deliverable, obstacle: Obstacle) => void;

/** Brings each change to the subscriptions that are meant by it. */
export class Router {
  readonly routes: ReadonlyMap<string, Route>;
  /** The subscriptions to logical messages. */
  readonly messages = new MessageRoutes();
  readonly #byWatcher: ReadonlyMap<Watcher, Route>;
  readonly #deliver: Deliver;
  readonly #log: Logger;

  constructor(watchers: readonly Watcher[], deliver: Deliver, log: Logger) {
    const routes = watchers.map((watcher) => new Route(watcher));
    this.routes = new Map(routes.map((route) => [route.name, route]));
    this.#byWatcher = new Map(routes.map((route) => [route.watcher, route]));
    this.#deliver = deliver;
    this.#log = log;
  }

  get subscriptions(): number {
    let { count } = this.messages;
    for (const route of this.routes.values()) count += route.count;
    return count;
  }

  /** At each connection, with what the catalog says. */
  bind(bound: readonly BoundWatcher[], types: TypeCatalog): void {
    for (const one of bound) this.#byWatcher.get(one.watcher)?.bind(one, types);
  }

  route(captured: CapturedChange | CapturedMessage): void {
    if (captured instanceof CapturedMessage) this.messages.route(captured, this.#deliver);
    else this.#routeChange(captured);
  }

  #routeChange(change: CapturedChange): void {
    for (const planned of change.plan.watchers[change.type]) {
      const route = this.#byWatcher.get(planned.bound.watcher)!;
      const { debug } = route.watcher;
      if (debug) this.#log.debug({ watcher: route.name, eventId: change.eventId }, `change received: ${route.name}`);
      if (route.count === 0 || !isTriggered(planned, change.row, change.old)) continue;
      if (debug) this.#routeLoudly(route, planned, change);
      else this.#routeTo(route, planned, change, this.#deliver);
    }
  }

  #routeTo(route: Route, planned: PlannedWatcher, change: CapturedChange, deliver: Deliver): void {
    let occurrence: Occurrence | undefined; // made for the first who is meant
    route.find(planned, change.row, change.old, (subscription, absentColumn) => {
      if (!subscription.active) return; // ended by a handler that this very change was delivered to before
      occurrence ??= new Occurrence(planned, change);
      deliver(
        subscription,
        occurrence,
        absentColumn === undefined ? undefined : absentError(planned.bound, absentColumn),
      );
    });
  }

  #routeLoudly(route: Route, planned: PlannedWatcher, change: CapturedChange): void {
    const meant: (() => void)[] = [];
    const names: string[] = [];
    this.#routeTo(route, planned, change, (subscription, occurrence, obstacle) => {
      names.push(subscription.name);
      meant.push(() => this.#deliver(subscription, occurrence, obstacle));
    });
    this.#log.debug(
      { watcher: route.name, eventId: change.eventId, subscriptions: names },
      `delivering to ${names.length} subscriptions`,
    );
    for (const deliver of meant) deliver();
  }
}
