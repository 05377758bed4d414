import type { WatchError } from '../errors.ts';
import type { WatcherDetails } from '../types/events.ts';
import { filterIssues } from '../routing/filter.ts';
import type { Scalar } from '../routing/keys.ts';
import type { Watch } from '../types/watch.ts';
import { type Criterion, criterion } from './criterion.ts';
import type { Asked, Question, Refusal } from './query.ts';

/** A subscription that fits the declared watchers. */
export interface Wanted extends Asked {
  readonly criterion: Criterion | undefined;
}

/** The primary key is only known once the watch has connected. */
export class NotReady extends Error {}

/**
 * Checks requested subscriptions against the declared watchers.
 * @throws NotReady
 */
export function declared(
  watch: Pick<Watch<any>, 'details'>,
  { asked, refused }: Question,
): { readonly wanted: readonly Wanted[]; readonly refused: readonly Refusal[] } {
  const all = [...refused];
  const wanted = asked.flatMap((one): Wanted[] => {
    const { index } = one;
    const details = detailsOf(watch, one.watcher);
    if (!details) {
      all.push({ index, code: 'UNKNOWN', reason: `unknown watcher ${JSON.stringify(one.watcher)}` });
      return [];
    }
    if (one.filter === undefined) return [{ ...one, criterion: undefined }];
    const { type, table: name, extraColumns, primaryKey } = details;
    const watcher = { name: details.watcher, type, table: { name }, extraColumns };
    const issues = filterIssues(watcher, one.filter, primaryKey);
    if (issues.length > 0) {
      all.push({ index, code: 'INVALID', reason: issues.map(({ message }) => message).join('\n') });
      return [];
    }
    return [{ ...one, criterion: criterion(byColumn(one.filter, extraColumns, primaryKey)) }];
  });
  return { wanted, refused: all };
}

function detailsOf(watch: Pick<Watch<any>, 'details'>, watcher: string): WatcherDetails | undefined {
  try {
    return watch.details(watcher);
  } catch (error) {
    // Not `instanceof`: the watch may come from another copy of the package.
    if ((error as WatchError).code === 'CONFIGURATION') return undefined;
    throw error;
  }
}

function byColumn(
  filter: Exclude<Asked['filter'], undefined>,
  extraColumns: readonly string[],
  primaryKey: readonly string[] | undefined,
): Readonly<Record<string, Scalar>> {
  const isColumns = typeof filter === 'object' && filter !== null;
  if (primaryKey === undefined && !(isColumns && Object.keys(filter).every((column) => extraColumns.includes(column))))
    throw new NotReady('the watch has not connected yet, so the primary key is not known');
  return isColumns ? filter : { [primaryKey![0]!]: filter };
}
