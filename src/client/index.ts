import type { EventOf, FilterOf } from '../types/delivery.ts';
import type { MapOf } from '../types/inference.ts';
import type { Watchers } from '../types/watchers.ts';
import { revive } from './values.ts';

/** What a browser can do with the watchers of a worker. */
export interface LiveSource<W extends Watchers = Watchers> {
  /** Calls `listener` for all rows, or those that match `filter`: an id, or values of primary-key or extra columns.
   *  Returns the function that ends it. Dates, bigints and bytes arrive as such; bytes are a Uint8Array.
   *  @example
   *  ```ts
   *  const end = live.subscribe('users:updated', { role_id: 7 }, (event) => show(event.id));
   *  ``` */
  subscribe<N extends keyof MapOf<W> & string>(watcher: N, listener: (event: EventOf<W, N>) => void): () => void;
  /** Only for rows that match `filter`. */
  subscribe<N extends keyof MapOf<W> & string>(
    watcher: N,
    filter: FilterOf<W, N>,
    listener: (event: EventOf<W, N>) => void,
  ): () => void;
  /** `connected`: all that happens from now on is heard. `disconnected`: it tries again by itself, and goes on where it
   *  was. `reset`: load again, changes may be missing. Returns the function that ends it. */
  on(event: 'connected' | 'disconnected' | 'reset', listener: () => void): () => void;
  /** Ends all subscriptions. */
  close(): void;
}

/** What is used of the browser's, so that nobody needs the DOM's types. */
interface Source {
  readonly readyState: number;
  addEventListener(type: string, listener: (event: { data: string; lastEventId: string }) => void): void;
  close(): void;
}
declare const EventSource: new (url: URL, options: { withCredentials: boolean }) => Source;
declare const location: { readonly href: string } | undefined;

/** Subscriptions to the same: they share a place on the connection. */
interface Topic {
  readonly key: string;
  readonly watcher: string;
  readonly filter: unknown;
  readonly listeners: Set<(event: never) => void>;
  /** The last id that it has seen. */
  after?: string;
}

const closed = 2;

/**
 * A client for the handler that `sse()` makes, over one `EventSource`, however many subscriptions there are.
 *
 * @example
 * ```ts
 * import type { watchers } from './watchers.ts';
 * const live = createClient<typeof watchers>({ url: '/live' });
 * live.subscribe('users:updated', 42, (event) => show(event));
 * live.on('reset', loadAgain);
 * ```
 */
export function createClient<W extends Watchers>(options: {
  readonly url: string | URL;
  readonly withCredentials?: boolean;
}): LiveSource<W> {
  const topics = new Map<string, Topic>();
  const observers = { connected: new Set(), disconnected: new Set(), reset: new Set() } as Record<
    string,
    Set<() => void>
  >;
  /** Those that the connection is for, in its order. */
  let connectedFor: Topic[] = [];
  let source: Source | undefined;
  let live = false;
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let scheduled = false;

  function connect(): void {
    clearTimeout(timer);
    source?.close();
    live = false;
    connectedFor = [...topics.values()];
    source = undefined;
    if (connectedFor.length === 0) return;
    const url = new URL(options.url, typeof location === 'object' ? location.href : undefined);
    const wanted = connectedFor.map(({ watcher, filter = null, after }) =>
      after ? [watcher, filter, after] : [watcher, filter],
    );
    url.searchParams.set('watch', stringify(wanted));
    const opened = (source = new EventSource(url, { withCredentials: options.withCredentials ?? false }));
    const listen = (type: string, listener: (data: string) => void) =>
      opened.addEventListener(type, ({ data, lastEventId }) => {
        if (opened !== source) return; // closed by a listener of the same event
        if (lastEventId) for (const topic of connectedFor) topic.after = lastEventId;
        listener(data);
      });
    listen('message', (data) => {
      const { for: indexes, event, types } = JSON.parse(data) as Message;
      const value = revive(event, types);
      for (const topic of indexes.map((index) => connectedFor[index]!)) call(topic.listeners, value);
    });
    listen('reset', () => call(observers['reset']!));
    listen('position', () => {
      failures = 0;
      if (live) return;
      live = true;
      call(observers['connected']!);
    });
    listen('error', () => {
      // A refusal, or a proxy without its server: the browser gives up.
      if (opened.readyState === closed) {
        timer = setTimeout(connect, Math.min(30_000, 1000 * 2 ** failures++) * (0.5 + Math.random() / 2));
      }
      if (!live) return;
      live = false;
      call(observers['disconnected']!);
    });
  }

  /** Once for all that happens in a row, such as a page that renders. */
  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    queueMicrotask(() => {
      scheduled = false;
      for (const { key, listeners } of topics.values()) if (listeners.size === 0) topics.delete(key);
      const same = topics.size === connectedFor.length && connectedFor.every(({ key }) => topics.has(key));
      if (!same) connect();
    });
  }

  return {
    subscribe(watcher: string, ...rest: unknown[]): () => void {
      const filter = rest.length > 1 ? rest[0] : undefined;
      const listener = rest.at(-1) as (event: never) => void;
      const key = stringify([watcher, filter]);
      let topic = topics.get(key);
      if (!topic) topics.set(key, (topic = { key, watcher, filter, listeners: new Set() }));
      const { listeners } = topic;
      const own: typeof listener = (event) => listener(event); // the same function may be given twice
      listeners.add(own);
      schedule();
      return () => {
        listeners.delete(own);
        schedule();
      };
    },
    on(event, listener) {
      const own = () => listener();
      observers[event]!.add(own);
      return () => void observers[event]!.delete(own);
    },
    close() {
      topics.clear();
      connect();
    },
  };
}

interface Message {
  readonly for: readonly number[];
  readonly event: Record<string, unknown>;
  readonly types?: Record<string, string>;
}

const stringify = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? String(one) : one));

/** A listener that throws is reported as any error of the page, and disturbs no other. */
function call(listeners: ReadonlySet<(value: never) => void>, value?: unknown): void {
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
