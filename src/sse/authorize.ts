import type { Scalar } from '../routing/keys.ts';
import type { FilterOf, WatcherName } from '../types/lookup.ts';
import type { MapOf } from '../types/inference.ts';
import type { Watchers } from '../types/watchers.ts';
import type { Wanted } from './wanted.ts';

/**
 * A requested subscription. Its values are as the client sent them, whatever the types say: `'7'` may mean `7`.
 * - `all`: all rows.
 * - `id`: the row with this value of the primary key, whose name is `column`.
 * - `columns`: the rows in which all of these have these values.
 */
export type Subscription<W extends Watchers = Watchers> = {
  [N in WatcherName<W>]:
    | { readonly watcher: N; readonly kind: 'all' }
    | ById<N, MapOf<W>[N]['type'] extends 'inserted' | 'truncated' ? never : Exclude<FilterOf<W, N>, object>>
    | ByColumns<N, Extract<FilterOf<W, N>, object>>;
}[WatcherName<W>];

type ById<N, Id> = [Id] extends [never]
  ? never
  : { readonly watcher: N; readonly kind: 'id'; readonly column: string; readonly id: Id };
type ByColumns<N, Columns> = [Columns] extends [never]
  ? never
  : { readonly watcher: N; readonly kind: 'columns'; readonly columns: Columns };

/** A subscription of any watchers. */
export type AnySubscription =
  | { readonly watcher: string; readonly kind: 'all' }
  | { readonly watcher: string; readonly kind: 'id'; readonly column: string; readonly id: Scalar }
  | {
      readonly watcher: string;
      readonly kind: 'columns';
      readonly columns: { readonly [column: string]: Scalar | undefined };
    };

/** Decides whether a request may have a subscription. */
export type Authorize<S> = (request: Request, subscription: S) => boolean | Promise<boolean>;

/** The requester's own value; undefined or null if the requester has none. */
type Own = Scalar | undefined;

/**
 * An `authorize` that allows only the rows in which `column` has the requester's own value. It denies all rows, other columns,
 * other values and other types, and everything if the requester has no value. Further columns may narrow the rows. It checks
 * the name of the column only: if the name means different things in different tables, also check `subscription.watcher`.
 *
 * @example
 * ```ts
 * sse(watch, { authorize: onlyOwn('role_id', async (request) => (await userOf(request))?.role_id) });
 * ```
 */
export function onlyOwn(
  column: string,
  value: Own | ((request: Request) => Own | Promise<Own>),
): (request: Request, subscription: AnySubscription) => Promise<boolean> {
  return async (request, subscription) => {
    const asked = valueOf(subscription, column);
    if (asked === undefined || asked === null) return false;
    const own = typeof value === 'function' ? await value(request) : value;
    if (own === undefined || own === null) return false;
    // JSON has no bigint: clients write it as text. An own value that is text may contain the digits of a number.
    if (typeof own === 'bigint' || (typeof own === 'string' && typeof asked === 'number'))
      return typeof asked !== 'boolean' && String(asked) === String(own);
    return asked === own;
  };
}

function valueOf(subscription: AnySubscription, column: string): Own {
  if (subscription.kind === 'id') return subscription.column === column ? subscription.id : undefined;
  if (subscription.kind === 'all' || !Object.hasOwn(subscription.columns, column)) return undefined;
  return subscription.columns[column];
}

/** Concurrent calls of `authorize` for one request. */
const atOnce = 10;

/** Calls `authorize` for each subscription. Only true allows it. Once the client has disconnected, it stops. */
export async function judge(
  authorize: Authorize<any>,
  request: Request,
  wanted: readonly Wanted[],
): Promise<readonly boolean[]> {
  const verdicts = wanted.map(() => false);
  const over = new AbortController();
  const stop = () => over.abort();
  request.signal.addEventListener('abort', stop, { once: true });
  const left = wanted.entries();
  const ask = async () => {
    for (const [at, one] of left) {
      verdicts[at] = (await authorize(request, subscriptionOf(one))) === true;
      if (over.signal.aborted) return;
    }
  };
  try {
    const all = Promise.all(Array.from({ length: Math.min(atOnce, wanted.length) }, ask));
    await Promise.race([all, aborted(over.signal)]);
  } finally {
    stop();
    request.signal.removeEventListener('abort', stop);
  }
  return verdicts;
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });

function subscriptionOf({ watcher, filter, criterion }: Wanted): AnySubscription {
  if (filter === undefined) return { watcher, kind: 'all' };
  if (typeof filter === 'object' && filter !== null) return { watcher, kind: 'columns', columns: filter };
  return { watcher, kind: 'id', column: criterion!.columns[0]!, id: filter };
}
