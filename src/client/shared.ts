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

/** Undefined outside of pages, and where the browser or an origin without TLS has no locks. */
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
 * One connection for all tabs: a browser opens only six to a host over HTTP/1.1. The tab that holds the lock `name` has
 * the connection and passes on what it hears; when it closes, the browser gives the lock to the next.
 */
export function sharedLine(given: Means, name: string, connect: (tell: Tell) => Line, tell: Tell): Line {
  let membership: Membership | undefined;
  /** When the shared one takes no more subscriptions, or the browser refuses what it needs. */
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

/** Milliseconds that a leader may take to answer a wish, and to be heard of again. Its timers may be late. */
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
  /** The tab whose messages are for what is wanted now. */
  let heard: string | undefined;
  let leader: Leader | undefined;
  /** Ends what belongs to being the leader, or to waiting for it. */
  let term = new AbortController();
  let stealing: ReturnType<typeof setTimeout> | undefined;
  const watchdog = new Watchdog(() => {
    // A tab that sleeps keeps its locks. Not all others at the same time.
    stealing = setTimeout(() => campaign(true), 1000 * Math.random());
  });

  /** Until `signal` is aborted. Rejects when it is before that, or when another tab steals the lock. */
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
      const gone = () => leader?.drop(from); // it holds this lock as long as it is there
      if (isNew) locks.request(`${name} ${from}`, { signal: term.signal }, gone).catch(giveUp);
    }
  };

  function hear(from: string, { told, versions, to }: Relayed): void {
    if (versions) {
      if (versions[me] === version) heard = from;
      else if (heard === from) ask(); // it has forgotten this tab
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

  /** Unless it is of a request that is not waited for any more, or of a lock that another tab has stolen. Locks are
   *  refused in an opaque origin, and where the user blocks the data of the site. */
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
        channel = new Channel(name); // may be refused, as locks may
        channel.onmessage = receive;
        ask();
        campaign();
      };
      hold(`${name} ${me}`, left.signal, begin).catch(giveUp);
    },
  };
}

const plain = ({ key, watcher, filter, after }: Entry): Entry => ({ key, watcher, filter, after });
