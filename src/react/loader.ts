import type { LiveSource } from '../client/index.ts';

export interface Loaded<T> {
  /** Undefined until the first load is done; then what was loaded last. */
  readonly data: T | undefined;
  /** Of the last load, if it failed: it is tried again. Else what keeps changes from being heard: a refusal, with its
   *  `code`, or a failed connection, with its `status`. */
  readonly error: unknown;
  /** Loads again. */
  readonly reload: () => void;
}

/** A value that is loaded again when it may have changed. For useSyncExternalStore. */
export interface Loader<T> {
  load: ((signal: AbortSignal) => Promise<T>) | undefined;
  readonly subscribe: (changed: () => void) => () => void;
  readonly get: () => Loaded<T>;
}

/** What a hook is for. `filter` undefined: all rows. */
export interface Target {
  readonly watcher: string;
  readonly filter: unknown;
}

export function createLoader<T>(client: LiveSource<any>, target: Target | undefined): Loader<T> {
  /** While somebody listens. */
  let start: (() => void) | undefined;
  let loaded: Loaded<T> = { data: undefined, error: undefined, reload: () => start?.() };
  const loader: Loader<T> = {
    load: undefined,
    get: () => loaded,
    subscribe(changed) {
      const abortion = new AbortController();
      const { signal } = abortion;
      let loading = false;
      let again = false;
      let failures = 0;
      let timer: ReturnType<typeof setTimeout> | undefined;
      let ofLoad: unknown;
      let ofConnection: unknown;
      const show = (data = loaded.data) => {
        const error = failures > 0 ? ofLoad : ofConnection;
        if (Object.is(data, loaded.data) && error === loaded.error) return;
        loaded = { ...loaded, data, error };
        changed();
      };
      const reload = async () => {
        again = true;
        if (loading) return;
        loading = true;
        clearTimeout(timer);
        while (again && !signal.aborted) {
          again = false;
          try {
            const data = await Promise.resolve(signal).then(loader.load);
            if (signal.aborted) return;
            failures = 0;
            show(data);
          } catch (error) {
            if (signal.aborted) return;
            failures++;
            ofLoad = error;
            show();
          }
        }
        loading = false;
        // Nobody else would ask again: what has changed is told once.
        if (failures > 0) timer = setTimeout(now, Math.min(30_000, 500 * 2 ** failures) * (0.5 + Math.random() / 2));
      };
      const now = () => void reload();
      start = now;
      // Loaded at once, and again when the subscription has begun: what changed in between is not heard of.
      let begun = false;
      const trouble = (error: unknown) => {
        ofConnection = error;
        begun = false;
        show();
      };
      const ends = [
        client.on('refused', ({ watcher, filter, ...denial }) => {
          if (keyOf({ watcher, filter }) !== keyOf(target)) return;
          trouble(Object.assign(new Error(denial.reason), denial, { watcher, filter }));
        }),
        client.on('failed', (failure) => trouble(Object.assign(new Error(failure.reason), failure))),
        client.on('reset', now),
        client.on('connected', () => {
          ofConnection = undefined;
          show();
          if (!begun) now();
          begun = true;
        }),
        subscribeTo(client, target!, now),
      ];
      now();
      return () => {
        abortion.abort();
        clearTimeout(timer);
        if (start === now) start = undefined;
        for (const end of ends) end();
      };
    },
  };
  return loader;
}

export function subscribeTo(
  client: LiveSource<any>,
  { watcher, filter }: Target,
  listener: (event: any) => void,
): () => void {
  return filter === undefined ? client.subscribe(watcher, listener) : client.subscribe(watcher, filter, listener);
}

/** The same for equal targets. */
export const keyOf = (target: Target | undefined): string =>
  JSON.stringify(target && [target.watcher, target.filter], (_, one: unknown) =>
    typeof one === 'bigint' ? String(one) : one,
  );
