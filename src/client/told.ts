/** What the parts of the client say to each other: plain data, so that one tab can pass it on to another. */

/** A subscription as it is asked for. */
export interface Entry {
  /** Those that want the same have the same. */
  readonly key: string;
  readonly watcher: string;
  /** Undefined: all rows. */
  readonly filter: unknown;
  /** The last id that it has seen. Whoever wants it keeps it up to date: see `keepUp`. */
  after?: string | undefined;
  /** Set while the server does not serve it. */
  denial?: Denial | undefined;
}

/** Why a connection failed. */
export interface Failure {
  /** Of the answer; undefined when there was none, or nobody tells. */
  readonly status: number | undefined;
  readonly reason: string;
  /** Milliseconds until the next attempt. Undefined: the same request would be refused again. */
  readonly retryIn: number | undefined;
}

export interface Denial {
  /** `DENIED`, `UNKNOWN`, `INVALID` or `LIMIT`: see docs/reference/sse.md. */
  readonly code: string;
  readonly reason: string;
}

export type Told =
  /** An attempt begins: what follows is for what was wanted last. */
  | { readonly type: 'opening' }
  | {
      readonly type: 'event';
      readonly id: string;
      readonly keys: readonly string[];
      readonly event: Record<string, unknown>;
      readonly types: Record<string, string> | undefined;
    }
  | { readonly type: 'reset' | 'position'; readonly id: string }
  /** Nothing is lost while one comes every so many milliseconds. */
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
      // When it is allowed one day, what was before is not told.
      entry.after = undefined;
    } else if ('id' in told && told.id && !entry.denial) entry.after = told.id;
  }
}

/** Where the messages come from. */
export interface Line {
  /** Replaces what is wanted. Nothing: it closes. Of an entry it reads `after` at each attempt. */
  want(entries: readonly Entry[]): void;
}

/** One attempt to hear of `entries`, until the function that it returns is called. */
export type Open = (entries: readonly Entry[], hear: Hearing) => () => void;

export interface Hearing {
  /** A message of the protocol, as EventSource gives it. */
  readonly message: (type: string, data: string, id: string) => void;
  /** Something came, and be it a part of a message. */
  readonly alive: () => void;
  /** Of the server's wish for the time until the next attempt. */
  readonly retry: (milliseconds: number) => void;
  readonly end: (ending: Ending) => void;
}

export interface Ending {
  readonly status?: number;
  readonly reason: string;
  /** `soon`: it passes. `later`: somebody has to do something. `never`: the same request gets the same answer. */
  readonly again: 'soon' | 'later' | 'never';
  /** Milliseconds that the server asks for. */
  readonly after?: number;
  /** When the server has refused each by itself: `for` are places in `entries`. */
  readonly refused?: readonly (Denial & { readonly for: readonly number[] })[];
}
