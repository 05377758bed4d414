import type { EventOf, FilterOf } from '../types/lookup.ts';
import type { MapOf } from '../types/inference.ts';
import type { Watchers } from '../types/watchers.ts';
import { connectionBy } from './connection.ts';
import { assertKnown } from './known.ts';
import { assertUsable, type ClientOptions, nameOf, openerOf } from './options.ts';
import { means, sharedLine } from './shared.ts';
import { type Entry, type Failure, keepUp, type Line, type Tell, type Told } from './told.ts';
import { revive } from './values.ts';
import { stringify, unknownOf } from './watch-list.ts';

export type { EventOf, FilterOf } from '../types/lookup.ts';
export type { Watchers, WatcherSpec } from '../types/watchers.ts';
export type { Address, ClientOptions } from './options.ts';
export type { Failure } from './told.ts';

/** A subscription that the server does not serve. */
export interface Refusal {
  readonly watcher: string;
  /** Undefined: all rows. */
  readonly filter: unknown;
  /** `DENIED` by `authorize`, `UNKNOWN` watcher, `INVALID` filter, or `LIMIT`: too many on one connection. */
  readonly code: string;
  readonly reason: string;
}

/** What a browser can do with the watchers of a worker. */
export interface LiveSource<W extends Watchers = Watchers> {
  /** Calls `listener` for all rows, or those that match `filter`: an id, or values of primary-key or extra columns.
   *  Returns the function that ends it. Dates, bigints and bytes arrive as such; bytes are a Uint8Array.
   *  @example
   *  ```ts
   *  const end = live.subscribe('users:updated', { role_id: 7 }, (event) => show(event.id));
   *  ```
   *  @throws TypeError when the filter holds undefined, null as an id, or NaN, and when there is nothing to connect with */
  subscribe<N extends keyof MapOf<W> & string>(watcher: N, listener: (event: EventOf<W, N>) => void): () => void;
  /** Only for rows that match `filter`. */
  subscribe<N extends keyof MapOf<W> & string>(
    watcher: N,
    filter: FilterOf<W, N>,
    listener: (event: EventOf<W, N>) => void,
  ): () => void;
  /** `connected`: all that happens from now on is heard, except for what is `refused`, which is told next.
   *  `disconnected`: it tries again by itself, and goes on where it was. `reset`: load again, changes may be missing.
   *  Returns the function that ends it. */
  on(event: 'connected' | 'disconnected' | 'reset', listener: () => void): () => void;
  /** A subscription is not served; the others are. It is asked for again with each new connection. */
  on(event: 'refused', listener: (refusal: Refusal) => void): () => void;
  /** An attempt to connect has failed. Without `retryIn` there is no other until something else is subscribed to. */
  on(event: 'failed', listener: (failure: Failure) => void): () => void;
  /** Ends all subscriptions. */
  close(): void;
}

const eventNames = ['connected', 'disconnected', 'reset', 'refused', 'failed'];
const optionNames: readonly string[] = [
  'url', 'withCredentials', 'headers', 'fetch', 'EventSource', 'share',
] satisfies (keyof ClientOptions)[]; // prettier-ignore

/** Subscriptions to the same: they share a place on the connection. */
interface Topic extends Entry {
  readonly listeners: Set<(event: never) => void>;
}

/**
 * A client for the handler that `sse()` makes, over one connection, however many subscriptions there are: tabs of the same
 * page share it.
 *
 * @example
 * ```ts
 * import type { watchers } from './watchers.ts';
 * const live = createClient<typeof watchers>({ url: '/live' });
 * live.subscribe('users:updated', 42, (event) => show(event));
 * live.on('reset', loadAgain);
 * ```
 */
export function createClient<W extends Watchers>(options: ClientOptions): LiveSource<W> {
  assertKnown(Object.keys(options), optionNames);
  const topics = new Map<string, Topic>();
  const observers: Record<string, Set<(told: never) => void>> = {};
  for (const event of eventNames) observers[event] = new Set();
  const emit = (event: string, told?: unknown) => call(observers[event]!, told);
  let line: Line | undefined;
  /** What the connection is for. */
  let wanted: Topic[] = [];
  /** All of it is heard. */
  let live = false;
  let failure: Failure | undefined;
  let toldConnected = false;
  let scheduled = false;

  function hear(told: Told): void {
    // What was refused is asked for again, and told about again.
    if (told.type === 'refused' || (told.type === 'opening' && wanted.some(({ denial }) => denial))) live = false;
    keepUp(wanted, told);
    if (told.type === 'event') {
      const value = revive(told.event, told.types);
      for (const key of told.keys) call(topics.get(key)?.listeners ?? [], value);
    } else if (told.type === 'reset') emit('reset');
    else if (told.type === 'position' && !live) {
      live = toldConnected = true;
      failure = undefined;
      emit('connected');
      wanted.forEach(tellRefusal);
    } else if (told.type === 'lost') lose(told.failure);
  }

  function lose(told: Failure): void {
    // The end of a stream that was live is no failure: the next attempt goes on where it was.
    if (!live && !wanted.every(({ denial }) => denial)) failure = told;
    live = false;
    if (toldConnected) {
      toldConnected = false;
      emit('disconnected');
    }
    wanted.forEach(tellRefusal);
    if (failure) emit('failed', failure);
  }

  function tellRefusal({ watcher, filter, denial }: Topic): void {
    if (denial) emit('refused', { watcher, filter, ...denial });
  }

  /** Once for all that happens in a row, such as a page that renders. */
  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    queueMicrotask(() => {
      scheduled = false;
      for (const { key, listeners } of topics.values()) if (listeners.size === 0) topics.delete(key);
      const same = topics.size === wanted.length && wanted.every(({ key }) => topics.has(key));
      if (!same) want();
    });
  }

  function want(): void {
    wanted = [...topics.values()];
    live = false;
    failure = undefined;
    if (wanted.length === 0) toldConnected = false;
    line ??= makeLine();
    line.want(wanted);
  }

  function makeLine(): Line {
    const connect = (tell: Tell) => connectionBy(openerOf(options), tell);
    const shared = means();
    const name = shared && nameOf(options);
    return name === undefined ? connect(hear) : sharedLine(shared!, name, connect, hear);
  }

  return {
    subscribe(watcher: string, ...rest: unknown[]): () => void {
      const listener = rest.at(-1) as (event: never) => void;
      const filter = rest.length > 1 ? rest[0] : undefined;
      const unknown = rest.length > 1 && unknownOf(filter);
      if (unknown)
        throw new TypeError(
          `walwatch/client: the filter of '${watcher}' is not known (${unknown}): subscribe when it is; all rows are subscribe(watcher, listener)`,
        );
      assertUsable(options);
      const key = stringify([watcher, filter]);
      let topic = topics.get(key);
      if (!topic) topics.set(key, (topic = { key, watcher, filter, listeners: new Set() }));
      const { listeners } = topic;
      const own: typeof listener = (event) => listener(event); // the same function may be given twice
      listeners.add(own);
      schedule();
      // Whoever comes later has not heard of what is wrong.
      if (topic.denial || failure) queueMicrotask(() => (failure ? emit('failed', failure) : tellRefusal(topic)));
      return () => {
        listeners.delete(own);
        schedule();
      };
    },
    on(event: string, listener: (told: never) => void) {
      assertKnown([event], eventNames);
      const own: typeof listener = (told) => listener(told);
      observers[event]!.add(own);
      return () => void observers[event]!.delete(own);
    },
    close() {
      topics.clear();
      want();
    },
  };
}

/** A listener that throws is reported as any error of the page, and disturbs no other. */
function call(listeners: Iterable<(value: never) => void>, value?: unknown): void {
  for (const listener of Array.from(listeners)) {
    try {
      listener(value as never);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
