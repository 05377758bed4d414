/** The types of a watcher by its name. Browsers see them too, so that neither pg's nor Node's types are needed here. */
import type { CommonFilter, MapOf } from './inference.ts';
import type { UpdateType, Watchers, WatcherSpec } from './watchers.ts';

/** A watcher's identifier: its label, or `table:type`, or `schema.table:type` outside `public`. */
export type WatcherName<W extends Watchers> = keyof MapOf<W> & string;

/** The value a handler receives: primary key and extra columns, nothing else; `{}` for `truncated`. */
export type EventOf<W extends Watchers, N extends WatcherName<W>> =
  MapOf<W>[N] extends WatcherSpec<any, infer E, any> ? E : never;

/** What a watcher hears of. */
export type TypeOf<W extends Watchers, N extends keyof MapOf<W>> =
  MapOf<W>[N] extends WatcherSpec<infer U extends UpdateType, any, any> ? U : never;

/** A watcher, or a list of them: a row stream. */
export type WatcherNames<W extends Watchers> = WatcherName<W> | readonly [WatcherName<W>, ...WatcherName<W>[]];

/** The names in it. */
export type NamesIn<W extends Watchers, N> = N extends readonly (infer K extends keyof MapOf<W> & string)[]
  ? K
  : Extract<N, keyof MapOf<W> & string>;

/** The primary key, or `{ column: value, … }` of primary-key and extra columns, all of which must be equal; null matches null. Of a list: what all of them have. */
export type FilterOf<W extends Watchers, N extends WatcherNames<W>> = [N] extends [WatcherName<W>]
  ? MapOf<W>[N] extends WatcherSpec<any, any, infer F>
    ? F
    : never
  : CommonFilter<MapOf<W>, NamesIn<W, N>>;
