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
  /** Further values that `load` depends on, such as a page number. When one changes, the hook drops its data and loads again.
   *  Pass the same number of values at each render. */
  readonly deps?: readonly unknown[];
}

/**
 * The hooks of `createHooks`. Without a filter a hook is for all rows. If a filter, or a column of it, is undefined, its value
 * is not known *yet*: the hook waits until it is defined.
 */
export interface Hooks<W extends Watchers> {
  /** Calls the `onEvent` of the last render for each event while the component is mounted. */
  readonly useWatch: UseWatch<W>;
  /** Returns the result of `load`, and loads again at every matching change, at `reset` and after a failed load. Changes during
   *  a load cause one more load. The signal aborts when the component unmounts or its watcher, filter or `deps` change. */
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
      // The key replaces the target, which is a new object at each render.
      useEffect(() => target && subscribeTo(source, target, (event) => latest.current(event)), [keyOf(target)]);
    },
    useLive<T>(watcher: string, ...rest: readonly unknown[]) {
      const [filter, load, options] = read<(signal: AbortSignal) => Promise<T>, LoadOptions>(rest);
      const target = targetOf(watcher, filter);
      const loader = useMemo(() => createLoader<T>(source, target), [keyOf(target), ...(options.deps ?? [])]);
      // Before useSyncExternalStore, whose effect loads for the first time.
      useEffect(() => void (loader.load = load));
      // While the hook is disabled it still returns the loaded data.
      const subscribe = target && options.enabled !== false ? loader.subscribe : toNothing;
      return useSyncExternalStore(subscribe, loader.get, loader.get);
    },
  };
}

const allRows = Symbol('all rows');

/** Separates arguments with a filter, even an undefined one, from those without. */
function read<F, O extends object>(rest: readonly unknown[]): readonly [filter: unknown, call: F, options: O] {
  const [filter, call, options = {}] = typeof rest[0] === 'function' ? [allRows, ...rest] : rest;
  return [filter, call as F, options as O];
}

/** Undefined while there is nothing to subscribe to. */
function targetOf(watcher: string, filter: unknown, { enabled = true }: WatchOptions = {}): Target | undefined {
  if (filter === allRows) return enabled ? { watcher, filter: undefined } : undefined;
  const values = typeof filter === 'object' && filter !== null ? Object.values(filter) : [filter];
  return enabled && !values.includes(undefined) ? { watcher, filter } : undefined;
}

const toNothing = () => () => {};
