import type { WatcherDetails } from '../types/events.ts';
import { type BoundWatcher, codeName } from './bind.ts';
import type { TableReference } from './table.ts';
import type { Watcher } from './validate.ts';

/** The columns of a table that the server sends, with their names in the database. */
export interface PushedDownColumns {
  readonly columns: readonly string[] | undefined;
  readonly reason: string | undefined;
}

/** The result of `watch.details()`. Columns have their names in code. */
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

/** The columns that `naming` renames. Empty until the table is known. */
function namedByRule({ names }: TableReference, bound: BoundWatcher | undefined): Record<string, string> {
  const columns = names ? (bound?.table.columns ?? []) : [];
  const pairs = columns.map(({ name }) => [names!.toCode(name), name] as const);
  return Object.fromEntries(pairs.filter(([inCode, name]) => inCode !== name));
}
