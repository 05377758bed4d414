import type { WatcherDetails } from '../types/events.ts';
import { type BoundWatcher, codeName } from './bind.ts';
import type { TableReference } from './table.ts';
import type { Watcher } from './validate.ts';

/** What of a table is pushed down to the server, by names in the database. */
export interface PushedDownColumns {
  readonly columns: readonly string[] | undefined;
  readonly reason: string | undefined;
}

/** What `watch.details()` tells. Columns are by their names in code. */
export function describeWatcher(
  watcher: Watcher,
  bound: BoundWatcher | undefined,
  slot: string | undefined,
  publication: string | undefined,
  pushedDown?: PushedDownColumns,
): WatcherDetails {
  const { table } = bound?.watcher ?? watcher;
  return {
    watcher: watcher.name,
    type: watcher.type,
    schema: table.schema,
    table: table.name,
    label: watcher.label,
    primaryKey: bound?.primaryKey ?? table.primaryKey,
    columns: bound?.table.columns.map(({ name }) => codeName(table, name)),
    extraColumns: watcher.extraColumns,
    triggerColumns: watcher.triggerColumns,
    columnMap: { ...namedByRule(table, bound), ...table.columnMap },
    replicaIdentity: bound?.table.replicaIdentity,
    slot,
    publication,
    ...(pushedDown && {
      pushedDown: {
        columns: pushedDown.columns?.map((name) => codeName(table, name)),
        where: watcher.where,
        reason: pushedDown.reason,
      },
    }),
  };
}

/** The columns that `naming` has given other names, once the table is known. */
function namedByRule({ names }: TableReference, bound: BoundWatcher | undefined): Record<string, string> {
  const columns = names ? (bound?.table.columns ?? []) : [];
  const pairs = columns.map(({ name }) => [names!.toCode(name), name] as const);
  return Object.fromEntries(pairs.filter(([inCode, name]) => inCode !== name));
}
