import type { LiveSource } from '../client/index.ts';

export interface Loaded<T> {
  /** Undefined until the first load is done; then what was loaded last. */
  readonly data: T | undefined;
  /** Of the last load, if it failed. */
  readonly error: unknown;
}

/** A value that is loaded again when it may have changed. For useSyncExternalStore. */
export interface Loader<T> {
  load: ((signal: AbortSignal) => Promise<T>) | undefined;
  readonly subscribe: (changed: () => void) => () => void;
  readonly get: () => Loaded<T>;
}

export function createLoader<T>(client: LiveSource<any>, watcher: string, filter: unknown): Loader<T> {
  let loaded: Loaded<T> = { data: undefined, error: undefined };
  const loader: Loader<T> = {
    load: undefined,
    get: () => loaded,
    subscribe(changed) {
      const abortion = new AbortController();
      const { signal } = abortion;
      let loading = false;
      let again = false;
      const reload = async () => {
        again = true;
        if (loading) return;
        loading = true;
        while (again && !signal.aborted) {
          again = false;
          const next = await Promise.resolve(signal)
            .then(loader.load)
            .then(
              (data) => ({ data: data as T, error: undefined }),
              (error: unknown) => ({ data: loaded.data, error }),
            );
          if (signal.aborted) return;
          loaded = next;
          changed();
        }
        loading = false;
      };
      const start = () => void reload();
      // Loaded at once, and again when the subscription has begun: what changed in between is not heard of.
      let begun = false;
      const ends = [
        subscribeTo(client, watcher, filter, start),
        client.on('reset', start),
        client.on('connected', () => {
          if (!begun) start();
          begun = true;
        }),
      ];
      start();
      return () => {
        abortion.abort();
        for (const end of ends) end();
      };
    },
  };
  return loader;
}

export function subscribeTo(
  client: LiveSource<any>,
  watcher: string,
  filter: unknown,
  listener: (event: any) => void,
): () => void {
  return filter === undefined ? client.subscribe(watcher, listener) : client.subscribe(watcher, filter, listener);
}

/** The same for equal watchers and filters. */
export const keyOf = (watcher: string, filter: unknown): string =>
  JSON.stringify([watcher, filter], (_, one: unknown) => (typeof one === 'bigint' ? String(one) : one));
