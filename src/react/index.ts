import { useEffect, useMemo, useRef, useSyncExternalStore } from 'react';
import type { LiveSource } from '../client/index.ts';
import type { EventOf, FilterOf } from '../types/delivery.ts';
import type { MapOf } from '../types/inference.ts';
import type { Watchers } from '../types/watchers.ts';
import { createLoader, keyOf, type Loaded, subscribeTo } from './loader.ts';

/** What `createHooks` returns. */
export interface Hooks<W extends Watchers> {
  /** Calls the `onEvent` of the last render for each event while the component is mounted. */
  readonly useWatch: <N extends keyof MapOf<W> & string>(
    watcher: N,
    filter: FilterOf<W, N> | undefined,
    onEvent: (event: EventOf<W, N>) => void,
  ) => void;
  /** What `load` gives, loaded again at every matching change and at `reset`. Changes during a load make one more.
   *  The signal aborts when the component is gone or asks for something else. */
  readonly useLive: <N extends keyof MapOf<W> & string, T>(
    watcher: N,
    filter: FilterOf<W, N> | undefined,
    load: (signal: AbortSignal) => Promise<T>,
  ) => Loaded<T>;
}

/**
 * Hooks typed by the client's watchers.
 *
 * @example
 * ```tsx
 * const { useWatch, useLive } = createHooks(createClient<typeof watchers>({ url: '/live' }));
 *
 * function User({ id }: { id: number }) {
 *   const { data: user } = useLive('users:updated', id, (signal) => fetchUser(id, signal));
 *   return <p>{user?.name}</p>;
 * }
 * ```
 */
export function createHooks<W extends Watchers>(client: LiveSource<W>): Hooks<W> {
  const source = client as LiveSource<any>;
  return {
    useWatch(watcher, filter, onEvent) {
      const latest = useRef(onEvent);
      const key = keyOf(watcher, filter);
      useEffect(() => void (latest.current = onEvent));
      // `key` stands for watcher and filter, which may be an object made at each render.
      useEffect(() => subscribeTo(source, watcher, filter, (event) => latest.current(event)), [key]);
    },
    useLive<N extends keyof MapOf<W> & string, T>(
      watcher: N,
      filter: FilterOf<W, N> | undefined,
      load: (signal: AbortSignal) => Promise<T>,
    ) {
      const key = keyOf(watcher, filter);
      const loader = useMemo(() => createLoader<T>(source, watcher, filter), [key]);
      // Before useSyncExternalStore, whose effect loads for the first time.
      useEffect(() => void (loader.load = load));
      return useSyncExternalStore(loader.subscribe, loader.get, loader.get);
    },
  };
}
