import type { TypeCatalog } from '../catalog/types.ts';
import { WatchError } from '../errors.ts';
import type { Relation } from '../pgoutput/messages.ts';
import { type BoundWatcher, databaseName } from './bind.ts';
import { columnsOf } from './plan.ts';

/** The watchers of a relation: by OID, because names in old WAL may be old; else by name, because a table may have been made anew. */
export function watchersOf(relation: Relation, bound: readonly BoundWatcher[]): readonly BoundWatcher[] {
  const byOid = bound.filter(({ table }) => table.oid === relation.oid);
  if (byOid.length > 0) return byOid;
  return bound.filter(({ table }) => table.schema === relation.schema && table.name === relation.name);
}

/** Whether the catalog must be asked before changes of the relation can be understood. */
export function isUnknown(relation: Relation, bound: readonly BoundWatcher[], types: TypeCatalog): boolean {
  const columns = new Map(relation.columns.map((column) => [column.name, column]));
  return bound.some(
    (one) =>
      one.table.schema !== relation.schema ||
      one.table.name !== relation.name ||
      columnsOf(one).some((name) => {
        const column = columns.get(name);
        return column === undefined || !types.knows(column.typeOid);
      }),
  );
}

/** What a relation's replica identity does not give any more although a watcher needs it. */
export function identityWarnings(relation: Relation, bound: readonly BoundWatcher[]): WatchError[] {
  const known = new Set(relation.columns.filter((column) => column.key).map((column) => column.name));
  return bound.flatMap((one) => {
    const { watcher, primaryKey } = one;
    const needed =
      watcher.type === 'deleted' ? [...primaryKey, ...watcher.extraColumns] : watcher.type === 'updated' ? watcher.triggerColumns : [];
    const missing = needed.map((column) => databaseName(watcher.table, column)).filter((column) => !known.has(column));
    if (missing.length === 0) return [];
    return [
      new WatchError(
        'REPLICA_IDENTITY',
        `${watcher.name}: the replica identity of ${relation.schema}.${relation.name} does not give the old value of ${missing.join(', ')}` +
          (watcher.type === 'updated' ? '; updates are delivered whether or not these changed' : ''),
        { solution: `ALTER TABLE "${relation.schema}"."${relation.name}" REPLICA IDENTITY FULL;` },
      ),
    ];
  });
}
