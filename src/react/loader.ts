import type { LiveSource } from '../client/index.ts';

/** The result of `useLive`. */
export interface Loaded<T> {
  /** The result of the last successful load; undefined before the first one. */
  readonly data: T | undefined;
  /** The error of the last load, if it failed; it is tried again. Otherwise the reason why no changes arrive: a refusal, with its
   *  `code`, or a failed connection, with its `status`. */
  readonly error: unknown;
  /** Loads again at once and aborts a running load. */
  readonly reload: () => void;
}

/** A value that is reloaded when it may have changed, for useSyncExternalStore. */
export interface Loader<T> {
  load: ((signal: AbortSignal) => Promise<T>) | undefined;
  readonly subscribe: (changed: () => void) => () => void;
  readonly get: () => Loaded<T>;
}

/** The watcher and filter of a hook. `filter` undefined: all rows. */
export interface Target {
  readonly watcher: string;
  readonly filter: unknown;
}

export function createLoader<T>(client: LiveSource<any>, target: Target | undefined): Loader<T> {
  /** Set while a component is subscribed. */
  let start: (() => void) | undefined;
  let loaded: Loaded<T> = { data: undefined, error: undefined, reload: () => start?.() };
  const loader: Loader<T> = {
    load: undefined,
    get: () => loaded,
    subscribe(changed) {
      let stopped = false;
      let loading = false;
      /** Ends the running load, even if it ignores its signal. */
      let abandon: ((error?: object) => void) | undefined;
      let again = false;
      let failures = 0;
      /** The time limit of a running load once another one is due, or the delay after a failed load. */
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
        // Without a limit, a load that never ends would block all later ones.
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
        // Retry here: the change that caused this load is not reported again.
        if (failures > 0) timer = setTimeout(now, Math.min(30_000, 500 * 2 ** failures) * (0.5 + Math.random() / 2));
      };
      const now = () => void reload();
      const restart = () => {
        abandon?.();
        now();
      };
      start = restart;
      // Load at once, and again when the subscription is active: changes between the two are not reported.
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
