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
  /** `DENIED` by `authorize`, `UNKNOWN` watcher, `INVALID` filter, or `LIMIT`: too many subscriptions on one connection. */
  readonly code: string;
  readonly reason: string;
}

/** The client for a worker's watchers in a browser. */
export interface LiveSource<W extends Watchers = Watchers> {
  /** Calls `listener` for changes of all rows, or of rows that match `filter`: an id, or values of primary-key or extra columns.
   *  Returns a function that ends the subscription. Dates and bigints keep their types; bytes are a Uint8Array.
   *  @example
   *  ```ts
   *  const end = live.subscribe('users:updated', { role_id: 7 }, (event) => show(event.id));
   *  ```
   *  @throws TypeError when the filter contains undefined, NaN, or null as an id, and when neither fetch nor EventSource exists */
  subscribe<N extends keyof MapOf<W> & string>(watcher: N, listener: (event: EventOf<W, N>) => void): () => void;
  /** Calls `listener` only for rows that match `filter`. */
  subscribe<N extends keyof MapOf<W> & string>(
    watcher: N,
    filter: FilterOf<W, N>,
    listener: (event: EventOf<W, N>) => void,
  ): () => void;
  /** `connected`: all changes from now on arrive, except those of `refused` subscriptions, whose events follow.
   *  `disconnected`: the client reconnects and resumes where it was. `reset`: load the data again, changes may be missing.
   *  Returns a function that removes the listener. */
  on(event: 'connected' | 'disconnected' | 'reset', listener: () => void): () => void;
  /** One subscription is not served; the others are. The client requests it again with each new connection. */
  on(event: 'refused', listener: (refusal: Refusal) => void): () => void;
  /** An attempt to connect has failed. Without `retryIn` the client does not retry until the subscriptions change. */
  on(event: 'failed', listener: (failure: Failure) => void): () => void;
  /** Ends all subscriptions. */
  close(): void;
}

const eventNames = ['connected', 'disconnected', 'reset', 'refused', 'failed'];
const optionNames: readonly string[] = [
  'url', 'withCredentials', 'headers', 'fetch', 'EventSource', 'share',
] satisfies (keyof ClientOptions)[]; // prettier-ignore

/** Equal subscriptions: they share one entry of the connection. */
interface Topic extends Entry {
  readonly listeners: Set<(event: never) => void>;
}

/**
 * A client for the handler of `sse()`. It uses one connection for all subscriptions, and tabs of the same page share it.
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
  /** The subscriptions of the connection. */
  let wanted: Topic[] = [];
  /** Whether all of their changes arrive. */
  let live = false;
  let failure: Failure | undefined;
  let toldConnected = false;
  let scheduled = false;

  function hear(told: Told): void {
    // Refused subscriptions are requested again, and reported again.
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
    // The end of a live stream is not a failure: the next attempt resumes where it was.
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

  /** Combines changes that happen together, such as those of one render. */
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
          `walwatch/client: the filter of '${watcher}' is incomplete (${unknown}): subscribe when its value is known, or to all rows: subscribe(watcher, listener)`,
        );
      assertUsable(options);
      const key = stringify([watcher, filter]);
      let topic = topics.get(key);
      if (!topic) topics.set(key, (topic = { key, watcher, filter, listeners: new Set() }));
      const { listeners } = topic;
      const own: typeof listener = (event) => listener(event); // the same function may be given twice
      listeners.add(own);
      schedule();
      // Report a known problem to later subscribers, too.
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

/** An error of a listener is reported like any error of the page and does not affect other listeners. */
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
