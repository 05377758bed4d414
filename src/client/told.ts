/** Messages between the parts of the client: plain data, so that one tab can send them to another. */

/** A requested subscription. */
export interface Entry {
  /** Equal subscriptions have the same key. */
  readonly key: string;
  readonly watcher: string;
  /** Undefined: all rows. */
  readonly filter: unknown;
  /** The last id that it has received. Its owner keeps it up to date: see `keepUp`. */
  after?: string | undefined;
  /** Set while the server refuses it. */
  denial?: Denial | undefined;
}

/** Why a connection failed. */
export interface Failure {
  /** The HTTP status; undefined without an answer, and with an EventSource. */
  readonly status: number | undefined;
  readonly reason: string;
  /** Milliseconds until the next attempt. Undefined if there is none, because the same request would be refused again. */
  readonly retryIn: number | undefined;
}

export interface Denial {
  /** `DENIED`, `UNKNOWN`, `INVALID` or `LIMIT`: see docs/reference/sse.md. */
  readonly code: string;
  readonly reason: string;
}

export type Told =
  /** An attempt begins: all following messages belong to the latest wish. */
  | { readonly type: 'opening' }
  | {
      readonly type: 'event';
      readonly id: string;
      readonly keys: readonly string[];
      readonly event: Record<string, unknown>;
      readonly types: Record<string, string> | undefined;
    }
  | { readonly type: 'reset' | 'position'; readonly id: string }
  /** The connection is alive while one arrives at least every `every` milliseconds. */
  | { readonly type: 'heartbeat'; readonly every: number }
  | { readonly type: 'refused'; readonly keys: readonly string[]; readonly denial: Denial }
  | { readonly type: 'lost'; readonly failure: Failure };

export type Tell = (told: Told) => void;

export function keepUp(entries: Iterable<Entry>, told: Told): void {
  for (const entry of entries) {
    if (told.type === 'opening') entry.denial = undefined;
    else if (told.type === 'refused') {
      if (!told.keys.includes(entry.key)) continue;
      entry.denial = told.denial;
      // If it is allowed later, it must not receive changes from before.
      entry.after = undefined;
    } else if ('id' in told && told.id && !entry.denial) entry.after = told.id;
  }
}

/** The source of the messages. */
export interface Line {
  /** Replaces the subscriptions. An empty list closes the connection. `after` of each entry is read at each attempt. */
  want(entries: readonly Entry[]): void;
}

/** Starts one attempt to receive the changes of `entries`. The returned function ends it. */
export type Open = (entries: readonly Entry[], hear: Hearing) => () => void;

export interface Hearing {
  /** A message of the protocol, as an EventSource reports it. */
  readonly message: (type: string, data: string, id: string) => void;
  /** Data arrived, if only a part of a message. */
  readonly alive: () => void;
  /** The server has set the delay until the next attempt. */
  readonly retry: (milliseconds: number) => void;
  readonly end: (ending: Ending) => void;
}

export interface Ending {
  readonly status?: number;
  readonly reason: string;
  /** When to retry. `soon`: the failure is temporary. `later`: somebody has to act first. `never`: the same request would fail again. */
  readonly again: 'soon' | 'later' | 'never';
  /** The delay in milliseconds that the server asks for (Retry-After). */
  readonly after?: number;
  /** The reason for each refused subscription. `for` are positions in `entries`. */
  readonly refused?: readonly (Denial & { readonly for: readonly number[] })[];
}
