/** The types of a watcher by its name. Browsers see them too, so that neither pg's nor Node's types are needed here. */
import type { MapOf } from './inference.ts';
import type { Watchers, WatcherSpec } from './watchers.ts';

/** A watcher's identifier: its label, or `table:type`, or `schema.table:type` outside `public`. */
export type WatcherName<W extends Watchers> = keyof MapOf<W> & string;

/** The value a handler receives: primary key and extra columns, nothing else; `{}` for `truncated`. */
export type EventOf<W extends Watchers, N extends WatcherName<W>> =
  MapOf<W>[N] extends WatcherSpec<any, infer E, any> ? E : never;

/** The primary key, or `{ column: value, … }` of primary-key and extra columns, all of which must be equal; null matches null. */
export type FilterOf<W extends Watchers, N extends WatcherName<W>> =
  MapOf<W>[N] extends WatcherSpec<any, any, infer F> ? F : never;
