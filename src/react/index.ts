'use client';

import { useEffect, useMemo, useRef, useSyncExternalStore } from 'react';
import type { LiveSource } from '../client/index.ts';
import type { EventOf, FilterOf } from '../types/lookup.ts';
import type { MapOf } from '../types/inference.ts';
import type { Watchers } from '../types/watchers.ts';
import { createLoader, keyOf, type Loaded, subscribeTo, type Target } from './loader.ts';

export type { Loaded } from './loader.ts';

/** Options of `useWatch`. */
export interface WatchOptions {
  /** Whether it subscribes. Default true. */
  readonly enabled?: boolean;
}

/** Options of `useLive`. */
export interface LoadOptions extends WatchOptions {
  /** What `load` depends on besides watcher and filter, such as the number of a page: it begins anew when one of them
   *  changes, without the data of before. As many at each render. */
  readonly deps?: readonly unknown[];
}

/**
 * What `createHooks` returns. Without a filter a hook is for all rows. A filter that is undefined, or has a column that is,
 * is not known *yet*: nothing is subscribed to or loaded until it is.
 */
export interface Hooks<W extends Watchers> {
  /** Calls the `onEvent` of the last render for each event while the component is mounted. */
  readonly useWatch: UseWatch<W>;
  /** What `load` gives, loaded again at every matching change and at `reset`, and after a load that failed. Changes during a
   *  load make one more. The signal aborts when the component is gone or asks for something else. */
  readonly useLive: UseLive<W>;
}

/** The hook `useWatch` of these watchers. */
export interface UseWatch<W extends Watchers> {
  <N extends keyof MapOf<W> & string>(
    watcher: N,
    onEvent: (event: EventOf<W, N>) => void,
    options?: WatchOptions,
  ): void;
  <N extends keyof MapOf<W> & string>(
    watcher: N,
    filter: NotYet<FilterOf<W, N>>,
    onEvent: (event: EventOf<W, N>) => void,
    options?: WatchOptions,
  ): void;
}

/** The hook `useLive` of these watchers. */
export interface UseLive<W extends Watchers> {
  <N extends keyof MapOf<W> & string, T>(
    watcher: N,
    load: (signal: AbortSignal) => Promise<T>,
    options?: LoadOptions,
  ): Loaded<T>;
  <N extends keyof MapOf<W> & string, T>(
    watcher: N,
    filter: NotYet<FilterOf<W, N>>,
    load: (signal: AbortSignal) => Promise<T>,
    options?: LoadOptions,
  ): Loaded<T>;
}

/** A filter whose values may not be known yet. */
export type NotYet<F> = (F extends object ? { readonly [C in keyof F]: F[C] | undefined } : F) | undefined;

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
    useWatch(watcher: string, ...rest: readonly unknown[]) {
      const [filter, onEvent, options] = read<(event: unknown) => void, WatchOptions>(rest);
      const target = targetOf(watcher, filter, options);
      const latest = useRef(onEvent);
      useEffect(() => void (latest.current = onEvent));
      // The key stands for the target, which is made at each render.
      useEffect(() => target && subscribeTo(source, target, (event) => latest.current(event)), [keyOf(target)]);
    },
    useLive<T>(watcher: string, ...rest: readonly unknown[]) {
      const [filter, load, options] = read<(signal: AbortSignal) => Promise<T>, LoadOptions>(rest);
      const target = targetOf(watcher, filter);
      const loader = useMemo(() => createLoader<T>(source, target), [keyOf(target), ...(options.deps ?? [])]);
      // Before useSyncExternalStore, whose effect loads for the first time.
      useEffect(() => void (loader.load = load));
      // What was loaded is still shown while it is not enabled.
      const subscribe = target && options.enabled !== false ? loader.subscribe : toNothing;
      return useSyncExternalStore(subscribe, loader.get, loader.get);
    },
  };
}

const allRows = Symbol('all rows');

/** With a filter, be it undefined, or without one. */
function read<F, O extends object>(rest: readonly unknown[]): readonly [filter: unknown, call: F, options: O] {
  const [filter, call, options = {}] = typeof rest[0] === 'function' ? [allRows, ...rest] : rest;
  return [filter, call as F, options as O];
}

/** Undefined: nothing to hear of yet. */
function targetOf(watcher: string, filter: unknown, { enabled = true }: WatchOptions = {}): Target | undefined {
  if (filter === allRows) return enabled ? { watcher, filter: undefined } : undefined;
  const values = typeof filter === 'object' && filter !== null ? Object.values(filter) : [filter];
  return enabled && !values.includes(undefined) ? { watcher, filter } : undefined;
}

const toNothing = () => () => {};
