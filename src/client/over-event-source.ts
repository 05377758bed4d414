import type { Open } from './told.ts';
import { longUrl, placesOf } from './watch-list.ts';

/** The part of an EventSource that is used: the browser's, or one of a package. */
interface EventSourceLike {
  addEventListener(type: string, listener: (event: any) => void): void;
  close(): void;
}
export type EventSourceClass = new (url: string, options: { withCredentials: boolean }) => EventSourceLike;

/** Proxies and servers accept 8 kB for the request line, and an EventSource can only send a URL. */
const longest = 7500;

/** An EventSource does not show the status of a failure. After each failure this closes it and a new one is created. */
export function overEventSource(Source: EventSourceClass, withCredentials: boolean, url: () => Promise<string>): Open {
  return (entries, hear) => {
    let source: EventSourceLike | undefined;
    let closed = false;
    const start = async () => {
      const base = new URL(await url());
      if (closed) return;
      let { length } = entries;
      let href: string;
      while ((href = longUrl(base, placesOf(entries.slice(0, length)))).length > longest && length > 1) length--;
      if (length < entries.length) {
        const rest = entries.slice(length).map((_, index) => length + index);
        const reason = `the URL of an EventSource has room for ${length} of these subscriptions: use fetch, or fewer`;
        hear.message('refused', JSON.stringify({ for: rest, code: 'LIMIT', reason }), '');
      }
      source = new Source(href, { withCredentials });
      for (const type of ['message', 'position', 'reset', 'refused', 'heartbeat'])
        source.addEventListener(type, ({ data, lastEventId }) => hear.message(type, data, lastEventId ?? ''));
      source.addEventListener('error', () =>
        hear.end({ reason: 'the EventSource failed without a reason', again: 'soon' }),
      );
    };
    start().catch((error: unknown) => hear.end({ reason: String(error), again: 'soon' }));
    return () => {
      closed = true;
      source?.close();
    };
  };
}
