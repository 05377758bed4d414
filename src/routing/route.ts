import type { TypeCatalog } from '../postgres/types.ts';
import type { Occurrence } from '../delivery/occurrence.ts';
import { WatchError } from '../errors.ts';
import { alterIdentity, type BoundWatcher, databaseName } from '../watchers/bind.ts';
import { currentText, type PlannedColumn } from '../watchers/plan.ts';
import type { Watcher } from '../watchers/validate.ts';
import { Fingerprints } from './fingerprints.ts';
import type { Routing } from './routing.ts';
import { type Key, Shape } from './shape.ts';
import { SubscriptionList } from './subscription-list.ts';
import type { ActiveSubscription, Filter, Handler, Registry } from './subscription.ts';

type Deliver = (subscription: ActiveSubscription, occurrence: Occurrence, conditionError: unknown) => void;

/** What all routes share. */
export interface RouteHost {
  /** The number of changes routed so far, including the current one. */
  readonly routed: number;
  /** Reports a problem that does not stop delivery. */
  warn(warning: WatchError): void;
}

const alone: RouteHost = { routed: 0, warn: () => {} };

/** The subscriptions of one watcher. */
export class Route implements Registry {
  readonly watcher: Watcher;
  /** Subscriptions without a filter. */
  readonly #all = new SubscriptionList();
  /** By the columns that filters use; filters by id are under ''. */
  readonly #shapes = new Map<string, Shape>();
  readonly #prints = new Fingerprints();
  /** The routing for which the fingerprints were computed. */
  #printed: Routing | undefined;
  #filteredBy: readonly string[] | undefined;
  #bound: BoundWatcher | undefined;
  #types: TypeCatalog | undefined;
  #count = 0;
  readonly #host: RouteHost;
  #warned = false;

  constructor(watcher: Watcher, host: RouteHost = alone) {
    this.watcher = watcher;
    this.#host = host;
  }

  get name(): string {
    return this.watcher.name;
  }

  get count(): number {
    return this.#count;
  }

  get bound(): BoundWatcher | undefined {
    return this.#bound;
  }

  /** Undefined while only the database knows it. */
  get primaryKey(): readonly string[] | undefined {
    return this.#bound?.primaryKey ?? this.watcher.table.primaryKey;
  }

  /** The columns that subscriptions filter by, except ids. The same array until the columns change. */
  get filteredBy(): readonly string[] {
    return (this.#filteredBy ??= [...new Set([...this.#shapes.values()].flatMap((shape) => shape.columns))]);
  }

  /** Whether a column's values may be large numbers in JavaScript, or its type is not known yet. */
  takesAnyNumber(name: string): boolean {
    return !this.#bound || takesAnyNumber(this.#bound, this.#types!, name);
  }

  /** Called for each connection with the facts from the catalog. */
  bind(bound: BoundWatcher, types: TypeCatalog): void {
    this.#bound = bound;
    this.#types = types;
    for (const shape of this.#shapes.values()) this.#bindShape(shape);
  }

  add(subscription: ActiveSubscription): void {
    this.#count++;
    subscription.madeAt = this.#host.routed;
    const { filter } = subscription;
    if (filter === undefined) {
      this.#all.add(subscription);
      return;
    }
    const name = shapeName(filter);
    let shape = this.#shapes.get(name);
    if (!shape) {
      shape = new Shape(columnsOf(filter), this.#prints);
      this.#bindShape(shape);
      this.#shapes.set(name, shape);
      this.#filteredBy = undefined;
    }
    shape.add(subscription);
  }

  remove(subscription: ActiveSubscription): void {
    this.#count--;
    const { filter } = subscription;
    if (filter === undefined) {
      this.#all.remove();
      return;
    }
    const name = shapeName(filter);
    const shape = this.#shapes.get(name)!;
    shape.remove(subscription);
    if (!shape.empty) return;
    this.#shapes.delete(name);
    this.#filteredBy = undefined;
  }

  /** The subscriptions with this filter and handler. */
  like(filter: Filter, handler: Handler): readonly ActiveSubscription[] {
    if (filter === undefined) return this.#all.withHandler(handler);
    return this.#shapes.get(shapeName(filter))?.like(filter, handler) ?? [];
  }

  *subscriptions(): Iterable<ActiveSubscription> {
    yield* this.#all.active;
    for (const shape of this.#shapes.values()) yield* shape.all();
  }

  /** Finds the subscriptions for a change: those that match the new values, and those that match the old ones if they are known and differ. */
  find(routing: Routing, deliver: Deliver): void {
    this.#foundAll(this.#all, routing, deliver);
    for (const shape of this.#shapes.values()) {
      if (shape.combines) this.#findCombined(shape, routing, deliver);
      else this.#findIn(shape, routing, deliver);
    }
    this.#printed = undefined;
  }

  /** Checks a shape's sieve first, because there may be as many shapes as combinations of columns. */
  #findCombined(shape: Shape, routing: Routing, deliver: Deliver): void {
    const { old } = routing.change;
    const { now, before } = this.#printsOf(routing);
    if (shape.mayWant(now) === false && (old === undefined || !shape.mayWant(before))) return;
    this.#findIn(shape, routing, deliver);
  }

  #printsOf(routing: Routing): Fingerprints {
    if (this.#printed !== routing) {
      this.#prints.read(routing.planned, routing.change.row, routing.change.old);
      this.#printed = routing;
    }
    return this.#prints;
  }

  #findIn(shape: Shape, routing: Routing, deliver: Deliver): void {
    const { row, old } = routing.change;
    const columns = shape.columnsIn(routing.planned);
    const key = shape.currentKey(columns, row, old);
    if (key === undefined) {
      // If a value is missing, deliver too often rather than miss a subscription.
      this.#warnOfAbsent(columns, routing);
      for (const one of shape.possible(columns, row, old)) this.#found(one, routing, deliver);
      return;
    }
    this.#foundAt(shape, key, routing, deliver);
    if (old === undefined) return; // the identity did not change, or nothing is known about it
    const before = shape.previousKey(columns, row, old);
    if (before !== undefined && before !== key) this.#foundAt(shape, before, routing, deliver);
  }

  #foundAt(shape: Shape, key: Key, routing: Routing, deliver: Deliver): void {
    const found = shape.at(key);
    if (found === undefined) return;
    if (found instanceof SubscriptionList) this.#foundAll(found, routing, deliver);
    else this.#found(found, routing, deliver);
  }

  #foundAll(list: SubscriptionList, routing: Routing, deliver: Deliver): void {
    const all = list.active;
    for (let index = 0, count = all.length; index < count; index++) this.#found(all[index]!, routing, deliver);
  }

  #found(subscription: ActiveSubscription, routing: Routing, deliver: Deliver): void {
    // Skip a subscription that a handler of this change has ended, and one that such a handler has just added.
    if (!subscription.active || subscription.madeAt === this.#host.routed) return;
    if (!routing.isKept) return;
    deliver(subscription, routing.occurrence, routing.error);
  }

  /** Whether a subscription to all rows, or with a filter, is meant by a row. */
  matches(subscription: ActiveSubscription, { planned, change }: Routing): boolean {
    const { filter } = subscription;
    if (filter === undefined) return true;
    const shape = this.#shapes.get(shapeName(filter))!;
    return shape.has(subscription, shape.currentKey(shape.columnsIn(planned), change.row, undefined));
  }

  #warnOfAbsent(columns: readonly PlannedColumn[], { planned, change: { row, old } }: Routing): void {
    if (this.#warned) return;
    this.#warned = true;
    const absent = columns.filter((column) => currentText(column, row, old) === undefined);
    const names = absent.map(({ name }) => `'${name}'`).join(', ');
    this.#host.warn(
      new WatchError(
        'VALUE_ABSENT',
        `${this.name}: PostgreSQL did not send the value of ${names}, which subscriptions filter by; such an event is delivered to every subscription whose other values match`,
        { solution: alterIdentity(planned.bound.table, 'full') },
      ),
    );
  }

  #bindShape(shape: Shape): void {
    const bound = this.#bound;
    if (!bound) return;
    const columns = shape.columns.length > 0 ? shape.columns : bound.primaryKey;
    const typeOids = columns.map((name) => comparedAs(bound, this.#types!, name));
    shape.bind(typeOids);
    if (shape.combines) for (const [index, name] of columns.entries()) this.#prints.bind(name, typeOids[index]!);
  }
}

/** The type by which a column's values are compared; 0 if it is not known. */
function comparedAs({ watcher, table }: BoundWatcher, types: TypeCatalog, name: string): number {
  const inDatabase = databaseName(watcher.table, name);
  const column = table.columns.find((candidate) => candidate.name === inDatabase);
  return column ? types.comparedAs(column.typeOid) : 0;
}

/** Unknown, or json, float4, float8, numeric, jsonb. */
const numberTypes = new Set([0, 114, 700, 701, 1700, 3802]);

/** Whether a column's values may be large numbers in JavaScript, or its type is not known. */
export function takesAnyNumber(bound: BoundWatcher, types: TypeCatalog, name: string): boolean {
  return numberTypes.has(comparedAs(bound, types, name));
}

function columnsOf(filter: Exclude<Filter, undefined>): readonly string[] {
  return typeof filter === 'object' && filter !== null ? Object.keys(filter).toSorted() : [];
}

function shapeName(filter: Exclude<Filter, undefined>): string {
  return columnsOf(filter)
    .map((column) => `${column.length}:${column}`)
    .join();
}
