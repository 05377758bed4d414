/** Looks up the types of a watcher by its name. Browsers import this file, so it must not need the types of pg or Node. */
import type { CommonFilter, MapOf } from './inference.ts';
import type { UpdateType, Watchers, WatcherSpec } from './watchers.ts';

/** A watcher's identifier: its label, or `table:type`, or `schema.table:type` outside `public`. */
export type WatcherName<W extends Watchers> = keyof MapOf<W> & string;

/** What a handler receives: the primary key and the extra columns. `{}` for `truncated`. */
export type EventOf<W extends Watchers, N extends WatcherName<W>> =
  MapOf<W>[N] extends WatcherSpec<any, infer E, any> ? E : never;

/** The update type of a watcher. */
export type TypeOf<W extends Watchers, N extends keyof MapOf<W>> =
  MapOf<W>[N] extends WatcherSpec<infer U extends UpdateType, any, any> ? U : never;

/** A watcher, or a list of watchers (a row stream). */
export type WatcherNames<W extends Watchers> = WatcherName<W> | readonly [WatcherName<W>, ...WatcherName<W>[]];

/** The names in a `WatcherNames`, as a union. */
export type NamesIn<W extends Watchers, N> = N extends readonly (infer K extends keyof MapOf<W> & string)[]
  ? K
  : Extract<N, keyof MapOf<W> & string>;

/** A filter: the value of the primary key, or `{ column: value, … }` with primary-key and extra columns. All given values must be equal; null matches null. For a list of watchers: the columns that all of them have. */
export type FilterOf<W extends Watchers, N extends WatcherNames<W>> = [N] extends [WatcherName<W>]
  ? MapOf<W>[N] extends WatcherSpec<any, any, infer F>
    ? F
    : never
  : CommonFilter<MapOf<W>, NamesIn<W, N>>;
