/** A watch whose events a test makes up: the part of it that `sse()` uses. */
import type { SlotWatchEventMap, Watch, WatcherDetails, Watchers, WatchState } from '../../src/index.ts';
import { defineWatchers } from '../../src/index.ts';
import { ConfigurationError } from '../../src/errors.ts';
import { deferred } from './until.ts';

interface DB {
  users: { id: number; name: string; role_id: number | null; seen_at: Date };
  lines: { order_id: number; line: number };
}

export const watchers = defineWatchers<DB>()([
  ['users', 'inserted', { extraColumns: ['name', 'role_id'] }],
  ['users', 'updated', { extraColumns: ['name', 'role_id'] }],
  ['users', 'truncated'],
]);

type Handler = (event: object, context: object) => unknown;

export interface FakeWatch<W extends Watchers = typeof watchers> {
  readonly watch: Watch<W>;
  /** Delivers to each subscription of the watcher. Returns the results of the handlers. */
  emit(watcher: string, eventId: string, event: object, context?: object): unknown[];
  tell(event: keyof SlotWatchEventMap): void;
  state: WatchState;
  end(error?: Error): void;
  subscriptions(watcher: string): number;
}

export function fakeWatch(details: Partial<Record<string, Partial<WatcherDetails>>> = known): FakeWatch {
  const handlers = new Map<string, Handler[]>();
  const listeners = new Map<string, (() => void)[]>();
  const closed = deferred();
  const fake = {
    watch: {
      subscribe(watcher: string, handler: Handler) {
        handlers.set(watcher, [...(handlers.get(watcher) ?? []), handler]);
      },
      details(watcher: string) {
        const found = Object.hasOwn(details, watcher) ? details[watcher] : undefined;
        if (!found) throw new ConfigurationError([{ message: `unknown watcher '${watcher}'`, solution: undefined }]);
        return { watcher, extraColumns: [], ...found };
      },
      status: () => ({ state: fake.state }),
      on(event: string, listener: () => void) {
        listeners.set(event, [...(listeners.get(event) ?? []), listener]);
      },
      closed: closed.promise,
    } as unknown as Watch<typeof watchers>,
    state: 'streaming' as WatchState,
    emit: (watcher: string, eventId: string, event: object, context: object = {}) =>
      (handlers.get(watcher) ?? []).map((handler) =>
        handler(event, { watcher, eventId, previous: {}, absent: [], ...context }),
      ),
    tell(event: string) {
      for (const listener of listeners.get(event) ?? []) listener();
    },
    end(error?: Error) {
      if (error) closed.reject(error);
      else closed.resolve();
    },
    subscriptions: (watcher: string) => handlers.get(watcher)?.length ?? 0,
  };
  return fake;
}

const extraColumns = ['name', 'role_id'];
const known = {
  'users:inserted': { type: 'inserted', table: 'users', primaryKey: ['id'], extraColumns },
  'users:updated': { type: 'updated', table: 'users', primaryKey: ['id'], extraColumns },
  'users:truncated': { type: 'truncated', table: 'users', primaryKey: ['id'] },
  'lines:updated': { type: 'updated', table: 'lines', primaryKey: ['order_id', 'line'] },
  'unbound:updated': { type: 'updated', table: 'unbound', extraColumns: ['role_id'] },
} satisfies Record<string, Partial<WatcherDetails>>;
