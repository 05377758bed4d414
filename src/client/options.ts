import { type EventSourceClass, overEventSource } from './over-event-source.ts';
import { type Fetch, overFetch } from './over-fetch.ts';
import type { Open } from './told.ts';

/** Options of `createClient()`. */
export interface ClientOptions {
  /** Of the handler of `sse()`. A function is asked before each attempt. */
  readonly url: Address | (() => Address | Promise<Address>);
  /** Whether cookies go to another origin as well. Default false. */
  readonly withCredentials?: boolean;
  /** Sent with each request, such as a bearer token. A function is asked before each attempt. */
  readonly headers?: PlainHeaders | (() => PlainHeaders | Promise<PlainHeaders>);
  /** In place of the global `fetch`. Its responses have to be streams. */
  readonly fetch?: Fetch;
  /** In place of `fetch`, where that gives no streams, as in React Native: a class like the browser's `EventSource`. */
  readonly EventSource?: EventSourceClass;
  /** Whether tabs share one connection, where the browser can (Web Locks and BroadcastChannel). Default: true, unless `url`
   *  is a function, or `headers`, `fetch` or `EventSource` is given: then a text shares it, which differs from user to user. */
  readonly share?: boolean | string;
}

/** A URL object is known by its `href`, so that nobody needs the DOM's types or Node's. */
export type Address = string | { readonly href: string };
type PlainHeaders = Readonly<Record<string, string>>;
declare const location: { readonly href: string } | undefined;

/** @throws TypeError: told to whoever subscribes, since a module may be loaded where nothing is ever subscribed to */
export function assertUsable({ url, headers, fetch, EventSource }: ClientOptions): void {
  if (EventSource && headers)
    throw new TypeError(
      'walwatch/client: an EventSource sends no headers: leave `EventSource` out, or put them into it',
    );
  if (!EventSource && typeof (fetch ?? globalThis.fetch) !== 'function')
    throw new TypeError('walwatch/client: there is no fetch here: pass createClient() a `fetch` or an `EventSource`');
  if (typeof url !== 'function') absolute(url);
}

export function openerOf({ url, headers, fetch, EventSource, withCredentials = false }: ClientOptions): Open {
  const urlNow = async () => absolute(typeof url === 'function' ? await url() : url);
  if (EventSource) return overEventSource(EventSource, withCredentials, urlNow);
  const headersNow = async () => (typeof headers === 'function' ? headers() : (headers ?? {}));
  // Looked up at each call: tests and monitoring replace it.
  return overFetch(fetch ?? ((to, init) => globalThis.fetch(to, init)), withCredentials, urlNow, headersNow);
}

/** What clients that share a connection have in common: undefined when nobody can tell. */
export function nameOf({
  url,
  headers,
  fetch,
  EventSource,
  withCredentials,
  share,
}: ClientOptions): string | undefined {
  const own = typeof url === 'function' || headers || fetch || EventSource;
  if (share === false || (share === undefined && own)) return undefined;
  const to = typeof url === 'function' ? '' : absolute(url);
  return `walwatch/1 ${to} ${withCredentials ? 'with credentials' : ''} ${typeof share === 'string' ? share : ''}`;
}

function absolute(url: Address): string {
  const given = typeof url === 'object' ? url.href : url;
  try {
    return new URL(given, typeof location === 'object' ? location.href : undefined).href;
  } catch {
    throw new TypeError(`walwatch/client: '${given}' is no URL from here: outside of a page it is to be complete`);
  }
}
