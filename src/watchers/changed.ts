/** What became of the watchers' tables since they were bound. Pure. */
import { quoteTable } from '../postgres/server.ts';
import type { Relation } from '../postgres/pgoutput/messages.ts';
import { ConfigurationError, type ConfigurationIssue, WatchError } from '../errors.ts';
import type { BoundWatcher } from './bind.ts';

/** Names the tables that do not fit, which need not be what was described: a partition is described besides its root. */
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
    `${names.join(' and ')} ${names.length > 1 ? 'were' : 'was'} changed, and the watchers do not fit any more: ${cause.message}`,
    {
      solution: 'Deploy watchers that fit the new schema. What was written since was not acknowledged and comes again.',
      cause,
    },
  );
}

/** Bare table names have the table's own key: another one would make other events. */
export function changedKeys(before: readonly BoundWatcher[], now: readonly BoundWatcher[]): ConfigurationIssue[] {
  return now.flatMap(({ watcher, primaryKey }) => {
    const known = before.find((one) => one.watcher.name === watcher.name)?.primaryKey ?? primaryKey;
    if (known.join('\0') === primaryKey.join('\0')) return [];
    return [
      {
        message: `${watcher.name}: the primary key was ${known.join(', ')} and is now ${primaryKey.join(', ')}`,
        solution: 'Start again: events have the new key from then on. Or name the key with table(…).',
        watcher: watcher.name,
      },
    ];
  });
}

/** Columns that are gone, or of another type, and that no watcher needs: otherwise it would be an error. */
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
          solution: gone ? 'No watcher needs it.' : 'Events have values of the new type from now on.',
        },
      );
    });
  });
}
