import { asChange } from '../delivery/as-change.ts';
import { type ConfigurationIssue } from '../errors.ts';
import type { BatchContext, EventContext } from '../types/delivery.ts';
import type { Route } from './route.ts';
import type { ActiveSubscription, Handler, Registry } from './subscription.ts';

/** One subscription to several watchers. It has one lane, so changes of a record stay in order, whatever their type. */
export class RowStream implements Registry {
  readonly name: string;
  readonly routes: readonly Route[];
  readonly #router: { repeated: number };

  constructor(router: { repeated: number }, routes: readonly Route[], name: string) {
    this.#router = router;
    this.routes = routes;
    this.name = name;
  }

  add(subscription: ActiveSubscription): void {
    this.#router.repeated += this.routes.length - 1;
    for (const route of this.routes) route.add(subscription);
  }

  remove(subscription: ActiveSubscription): void {
    this.#router.repeated -= this.routes.length - 1;
    for (const route of this.routes) route.remove(subscription);
  }
}

/** Wraps a row stream's handler, which receives changes instead of events because an event's type depends on its watcher. */
export function withChanges(handler: Handler, batched: boolean): Handler {
  if (!batched) return (event: unknown, context: EventContext) => handler(asChange(event, context), context);
  return (events: readonly unknown[], context: BatchContext) =>
    handler(
      events.map((event, index) => asChange(event, context.contexts[index]!)),
      context,
    );
}

/** Watchers of one table must have the same primary key, because the key identifies records. */
export function keyIssues(routes: readonly Route[]): ConfigurationIssue[] {
  const keys = new Map<string, { readonly watcher: string; readonly key: string }>();
  const issues: ConfigurationIssue[] = [];
  for (const { name, watcher, primaryKey } of routes) {
    if (primaryKey === undefined) continue; // only the database knows it
    const table = `${watcher.table.schema}.${watcher.table.name}`;
    const key = primaryKey.join(', ');
    const other = keys.get(table);
    if (!other) keys.set(table, { watcher: name, key });
    else if (other.key !== key)
      issues.push({
        message: `'${other.watcher}' and '${name}' have different primary keys of ${table}: (${other.key}) and (${key})`,
        solution: 'Give both the same primaryKey: it decides which changes belong to one record.',
        watcher: name,
        table,
      });
  }
  return issues;
}
