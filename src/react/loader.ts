import type { LiveSource } from '../client/index.ts';

/** What `useLive` gives. */
export interface Loaded<T> {
  /** Undefined until the first load is done; then what was loaded last. */
  readonly data: T | undefined;
  /** Of the last load, if it failed: it is tried again. Else what keeps changes from being heard: a refusal, with its
   *  `code`, or a failed connection, with its `status`. */
  readonly error: unknown;
  /** Loads again, at once: a load that is running is aborted. */
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
      let stopped = false;
      let loading = false;
      /** Ends the load that is running, also if it ignores its signal. */
      let abandon: ((error?: object) => void) | undefined;
      let again = false;
      let failures = 0;
      /** Of the load that runs once another is wanted, or until the next after one that has failed. */
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
        // Else a load that never ends would be the last one.
        if (loading && !again) timer = setTimeout(() => abandon!(new Error('load took over 30 s')), 30_000);
        again = true;
        if (loading) return;
        loading = true;
        while (again && !stopped) {
          again = false;
          clearTimeout(timer);
          const abortion = new AbortController();
          try {
            const data = await new Promise<T>((resolve, reject) => {
              abandon = (error = abortion) => {
                reject(error);
                abortion.abort();
              };
              Promise.resolve(abortion.signal).then(loader.load!).then(resolve, reject);
            });
            if (stopped) return;
            failures = 0;
            show(data);
          } catch (error) {
            if (stopped) return;
            if (error !== abortion) {
              failures++;
              ofLoad = error;
              show();
            }
          }
        }
        loading = false;
        // Nobody else would ask again: what has changed is told once.
        if (failures > 0) timer = setTimeout(now, Math.min(30_000, 500 * 2 ** failures) * (0.5 + Math.random() / 2));
      };
      const now = () => void reload();
      const restart = () => {
        abandon?.();
        now();
      };
      start = restart;
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
        stopped = true;
        abandon?.();
        clearTimeout(timer);
        if (start === restart) start = undefined;
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
