import type { Scalar } from '../routing/keys.ts';
import type { FilterOf, WatcherName } from '../types/lookup.ts';
import type { MapOf } from '../types/inference.ts';
import type { Watchers } from '../types/watchers.ts';
import type { Wanted } from './wanted.ts';

/**
 * What somebody asks to subscribe to. The values are as the client sent them, whatever the types say: `'7'` may stand for `7`.
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

/** Whether a request may have a subscription. */
export type Authorize<S> = (request: Request, subscription: S) => boolean | Promise<boolean>;

/** Of a request: undefined and null mean that it has none. */
type Own = Scalar | undefined;

/**
 * An `authorize` that allows the rows in which `column` has the requester's own value, and nothing else: not all rows, not
 * another column, not another value or type, and nothing to whoever has no value. More columns may narrow the rows further.
 * It looks at the name of the column only: name the watchers as well where it means different things in different tables.
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
    // JSON has no bigint: clients write it as text. An own value that is text may be the digits of a number.
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

/** Asked at the same time for one request. */
const atOnce = 10;

/** What `authorize` says of each. Only true allows. Nobody is asked or waited for any more once the client has gone. */
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
