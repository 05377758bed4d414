/** Compares the watchers' tables with what they were when they were bound. Pure. */
import { quoteTable } from '../postgres/server.ts';
import type { Relation } from '../postgres/pgoutput/messages.ts';
import { ConfigurationError, type ConfigurationIssue, WatchError } from '../errors.ts';
import type { BoundWatcher } from './bind.ts';

/** Names the tables that no longer fit. They may differ from the described relation: a partition is described in addition to its root. */
export function schemaChanged(
  relation: Relation,
  before: readonly BoundWatcher[],
  issues: readonly ConfigurationIssue[],
): WatchError {
  const cause = new ConfigurationError(issues);
  const unfit = before.filter(({ watcher }) => issues.some((issue) => issue.watcher === watcher.name));
  const names = [...new Set((unfit.length > 0 ? unfit.map(({ table }) => table) : [relation]).map(quoteTable))];
  return new WatchError(
    'SCHEMA_CHANGED',
    `${names.join(' and ')} ${names.length > 1 ? 'were' : 'was'} changed and no longer ${names.length > 1 ? 'fit' : 'fits'} the watchers: ${cause.message}`,
    {
      solution:
        'Deploy watchers that fit the new schema. Changes written since then were not acknowledged and will be delivered again.',
      cause,
    },
  );
}

/** A table that is given by its name alone uses its own primary key. If that changes, events would have another shape. */
export function changedKeys(before: readonly BoundWatcher[], now: readonly BoundWatcher[]): ConfigurationIssue[] {
  return now.flatMap(({ watcher, primaryKey }) => {
    const known = before.find((one) => one.watcher.name === watcher.name)?.primaryKey ?? primaryKey;
    if (known.join('\0') === primaryKey.join('\0')) return [];
    return [
      {
        message: `${watcher.name}: the primary key was ${known.join(', ')} and is now ${primaryKey.join(', ')}`,
        solution: 'Start again: from then on, events have the new key. Or name the key with table(…).',
        watcher: watcher.name,
      },
    ];
  });
}

/** Columns that were dropped or have another type, and that no watcher needs: those that a watcher needs are an error. */
export function lostColumns(before: readonly BoundWatcher[], now: readonly BoundWatcher[]): WatchError[] {
  return before.flatMap(({ watcher, table }) => {
    const after = now.find((one) => one.watcher.name === watcher.name)?.table;
    const lost = table.columns.filter(
      ({ name, typeOid }) => !after?.columns.some((column) => column.name === name && column.typeOid === typeOid),
    );
    return lost.map(({ name }) => {
      const gone = !after?.columns.some((column) => column.name === name);
      return new WatchError(
        'SCHEMA_CHANGED',
        `the column '${name}' of ${quoteTable(table)} ${gone ? 'is gone' : 'has another type now'}`,
        {
          solution: gone ? 'Nothing: no watcher needs it.' : 'Events have values of the new type from now on.',
        },
      );
    });
  });
}
