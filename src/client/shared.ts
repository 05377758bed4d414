import { Leader, type Relayed } from './leader.ts';
import type { Entry, Line, Tell } from './told.ts';
import { Watchdog } from './watchdog.ts';

interface Locks {
  request(name: string, options: { signal?: AbortSignal; steal?: boolean }, granted: () => unknown): Promise<unknown>;
}
interface Channel {
  onmessage: ((event: { data: Message }) => void) | null;
  postMessage(message: Message): void;
  close(): void;
}
type Message = { readonly from: string } & (
  | { readonly type: 'leader' }
  | { readonly type: 'want'; readonly version: number; readonly entries: readonly Entry[] }
  | ({ readonly type: 'told' } & Relayed)
);
interface Means {
  readonly locks: Locks;
  readonly Channel: new (name: string) => Channel;
}

/** Undefined outside of pages, and if the browser, or an origin without TLS, has no locks. */
export function means(): Means | undefined {
  const { document, navigator, BroadcastChannel } = globalThis as unknown as {
    document?: unknown;
    navigator?: { locks?: Locks };
    BroadcastChannel?: Means['Channel'];
  };
  return document && navigator?.locks && BroadcastChannel
    ? { locks: navigator.locks, Channel: BroadcastChannel }
    : undefined;
}

/**
 * One connection for all tabs, because a browser opens only six per host over HTTP/1.1. The tab that holds the lock `name` has
 * the connection and passes on its messages. When that tab closes, the browser gives the lock to the next one.
 */
export function sharedLine(given: Means, name: string, connect: (tell: Tell) => Line, tell: Tell): Line {
  let membership: Membership | undefined;
  /** A separate connection, if the shared one is full or the browser refuses locks. */
  let own: Line | undefined;
  return {
    want(entries) {
      if (own) own.want(entries);
      else if (entries.length > 0) {
        membership ??= join(given, name, connect, tell, (latest) => (own = connect(tell)).want(latest));
        membership.want(entries);
      } else membership?.leave();
      if (entries.length === 0) membership = own = undefined;
    },
  };
}

interface Membership extends Line {
  leave(): void;
}

/** Milliseconds within which a leader must answer a wish, and send another message. Its timers may be late. */
const patience = { wish: 10_000, word: 30_000 };

function join(
  { locks, Channel }: Means,
  name: string,
  connect: (tell: Tell) => Line,
  tell: Tell,
  alone: (entries: readonly Entry[]) => void,
): Membership {
  const me = `${Date.now()}.${Math.random()}`;
  let channel: Channel | undefined;
  const left = new AbortController();
  let entries: readonly Entry[] = [];
  let joined = false;
  let version = 0;
  /** The tab whose messages belong to the current wish. */
  let heard: string | undefined;
  let leader: Leader | undefined;
  /** Aborted when this tab's time as leader, or as candidate, ends. */
  let term = new AbortController();
  let stealing: ReturnType<typeof setTimeout> | undefined;
  const watchdog = new Watchdog(() => {
    // A sleeping tab keeps its locks, so its lock is stolen. The delay is random, so that not all tabs steal at once.
    stealing = setTimeout(() => campaign(true), 1000 * Math.random());
  });

  /** Holds a lock until `signal` is aborted. Rejects if it is aborted before the lock is granted, or if another tab steals the lock. */
  const hold = (lock: string, signal: AbortSignal, begin: () => void, steal = false) =>
    locks.request(lock, steal ? { steal } : { signal }, () => {
      if (signal.aborted) return undefined;
      begin();
      return new Promise<void>((release) => signal.addEventListener('abort', () => release()));
    });

  function campaign(steal = false): void {
    clearTimeout(stealing);
    term.abort();
    const { signal } = (term = new AbortController());
    const lead = () => {
      watchdog.stop();
      leader = new Leader(connect, (relayed) => {
        post({ from: me, type: 'told', ...relayed });
        hear(me, relayed);
      });
      post({ from: me, type: 'leader' });
      ask();
    };
    hold(name, signal, lead, steal).catch((error: unknown) => {
      giveUp(error);
      if (!signal.aborted) depose();
    });
  }

  /** Another tab leads now. */
  function depose(): void {
    leader?.close();
    leader = undefined;
    campaign();
    ask();
  }

  function ask(): void {
    heard = undefined;
    version++;
    if (leader) return leader.want(me, version, entries);
    watchdog.heard(patience.wish);
    post({ from: me, type: 'want', version, entries: entries.map(plain) });
  }

  const post = (message: Message) => channel?.postMessage(message);
  const receive = ({ data }: { data: Message }) => {
    if (data.type === 'told') hear(data.from, data);
    else if (data.type === 'leader') {
      clearTimeout(stealing);
      if (leader) depose();
      else ask();
    } else if (leader) {
      const { from, version, entries } = data;
      const isNew = !leader.knows(from);
      leader.want(from, version, entries);
      const gone = () => leader?.drop(from); // the tab holds this lock while it exists
      if (isNew) locks.request(`${name} ${from}`, { signal: term.signal }, gone).catch(giveUp);
    }
  };

  function hear(from: string, { told, versions, to }: Relayed): void {
    if (versions) {
      if (versions[me] === version) heard = from;
      else if (heard === from) ask(); // the leader does not know this tab's current wish
    }
    if (heard !== from) return;
    clearTimeout(stealing);
    if (from === me) watchdog.stop();
    else if (told.type === 'heartbeat') watchdog.heard(2 * told.every);
    else if (told.type !== 'lost') watchdog.heard(versions ? patience.word : undefined);
    else if (told.failure.retryIn === undefined) watchdog.stop();
    else watchdog.heard(told.failure.retryIn + patience.word);
    if (!('keys' in told)) return tell(told);
    const keys = to?.[me] ?? [];
    if (told.type === 'refused' && keys.length > 0 && told.denial.code === 'LIMIT' && from !== me) {
      giveUp();
    } else if (told.type === 'event' || keys.length > 0) tell({ ...told, keys });
  }

  /** Falls back to a separate connection, unless the error is of an aborted request or a stolen lock. Browsers refuse locks in an
   *  opaque origin, and if the user blocks site data. */
  function giveUp(error?: unknown): void {
    if ((error as Error | undefined)?.name === 'AbortError' || left.signal.aborted) return;
    leave();
    alone(entries);
  }

  function leave(): void {
    leader?.close();
    leader = undefined;
    watchdog.stop();
    clearTimeout(stealing);
    term.abort();
    left.abort();
    channel?.close();
  }

  return {
    leave,
    want(next) {
      entries = next;
      if (joined) return ask();
      joined = true;
      const begin = () => {
        channel = new Channel(name); // may be refused, like locks
        channel.onmessage = receive;
        ask();
        campaign();
      };
      hold(`${name} ${me}`, left.signal, begin).catch(giveUp);
    },
  };
}

const plain = ({ key, watcher, filter, after }: Entry): Entry => ({ key, watcher, filter, after });
