import type { Denial, Ending, Entry, Line, Open, Tell } from './told.ts';
import { Watchdog } from './watchdog.ts';

/** Milliseconds between heartbeats, until the server has sent its own interval. */
const usualInterval = 15_000;
const longest = { soon: 30_000, later: 300_000 };

/** Keeps one connection open. It reconnects when the connection ends and when the subscriptions change. */
export function connectionBy(open: Open, tell: Tell): Line {
  let entries: readonly Entry[] = [];
  let close: () => void = () => {};
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let delay = 1000;

  function start(): void {
    if (entries.length === 0) return;
    const wanted = entries; // the order of this attempt: messages refer to positions in it
    let over = false;
    const keysOf = (places: readonly number[]) => [...new Set(places.map((place) => wanted[place]!.key))];
    const refuse = ({ for: places, code, reason }: Refused) =>
      tell({ type: 'refused', keys: keysOf(places), denial: { code, reason } });
    const end = (ending: Ending) => {
      if (over) return;
      close();
      const retryIn = nextIn(ending);
      if (retryIn !== undefined) timer = setTimeout(start, retryIn);
      ending.refused?.forEach(refuse);
      tell({ type: 'lost', failure: { status: ending.status, reason: ending.reason, retryIn } });
    };
    const watchdog = new Watchdog(() => end({ reason: 'the server was silent for two heartbeats', again: 'soon' }));
    watchdog.heard(2 * usualInterval);
    tell({ type: 'opening' });
    const abort = open(wanted, {
      message(type, data, id) {
        if (over) return;
        watchdog.heard();
        if (type === 'message') {
          const { for: places, event, types } = JSON.parse(data) as Message;
          tell({ type: 'event', id, keys: keysOf(places), event, types });
        } else if (type === 'refused') refuse(JSON.parse(data) as Refused);
        else if (type === 'heartbeat') {
          watchdog.heard(2 * Number(data));
          tell({ type, every: Number(data) });
        } else if (type === 'position' || type === 'reset') {
          if (type === 'position') failures = 0;
          tell({ type, id });
        }
      },
      alive: () => over || watchdog.heard(),
      retry: (milliseconds) => void (delay = milliseconds),
      end,
    });
    close = () => {
      over = true;
      watchdog.stop();
      abort();
    };
  }

  /** A random delay, so that the clients of a lost server do not all reconnect at once. */
  function nextIn({ again, after = 0 }: Ending): number | undefined {
    if (again === 'never') return undefined;
    const grown = Math.min(longest[again], delay * 2 ** failures++);
    return Math.max(Math.min(after, longest.later), grown * (0.5 + Math.random() / 2));
  }

  return {
    want(next) {
      close();
      clearTimeout(timer);
      entries = next;
      start();
    },
  };
}

interface Message {
  readonly for: readonly number[];
  readonly event: Record<string, unknown>;
  readonly types?: Record<string, string>;
}
type Refused = Denial & { readonly for: readonly number[] };
