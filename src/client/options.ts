import { type EventSourceClass, overEventSource } from './over-event-source.ts';
import { type Fetch, overFetch } from './over-fetch.ts';
import type { Open } from './told.ts';

/** Options of `createClient()`. */
export interface ClientOptions {
  /** The URL of the `sse()` handler. A function is called before each attempt. */
  readonly url: Address | (() => Address | Promise<Address>);
  /** Whether cookies are sent to another origin. Default false. */
  readonly withCredentials?: boolean;
  /** Headers of each request, such as a bearer token. A function is called before each attempt. */
  readonly headers?: PlainHeaders | (() => PlainHeaders | Promise<PlainHeaders>);
  /** Replaces the global `fetch`. Its responses must be streams. */
  readonly fetch?: Fetch;
  /** A class like the browser's `EventSource`. Use it where `fetch` has no response streams, as in React Native. */
  readonly EventSource?: EventSourceClass;
  /** Whether tabs share one connection, if the browser supports it (Web Locks and BroadcastChannel). Default: true, but false if
   *  `url` is a function or `headers`, `fetch` or `EventSource` is given. In that case pass a text that differs from user to
   *  user: tabs with the same text share a connection. */
  readonly share?: boolean | string;
}

/** A URL object is declared by its `href`, so that this file needs neither the DOM's nor Node's types. */
export type Address = string | { readonly href: string };
type PlainHeaders = Readonly<Record<string, string>>;
declare const location: { readonly href: string } | undefined;

/** Called when something subscribes, because the module may also be loaded where nothing does. @throws TypeError */
export function assertUsable({ url, headers, fetch, EventSource }: ClientOptions): void {
  if (EventSource && headers)
    throw new TypeError(
      'walwatch/client: an EventSource cannot send `headers`: leave one of them out, or set headers in your EventSource',
    );
  if (!EventSource && typeof (fetch ?? globalThis.fetch) !== 'function')
    throw new TypeError('walwatch/client: fetch is missing here: pass `fetch` or `EventSource` to createClient()');
  if (typeof url !== 'function') absolute(url);
}

export function openerOf({ url, headers, fetch, EventSource, withCredentials = false }: ClientOptions): Open {
  const urlNow = async () => absolute(typeof url === 'function' ? await url() : url);
  if (EventSource) return overEventSource(EventSource, withCredentials, urlNow);
  const headersNow = async () => (typeof headers === 'function' ? headers() : (headers ?? {}));
  // Read at each call, because tests and monitoring tools replace it.
  return overFetch(fetch ?? ((to, init) => globalThis.fetch(to, init)), withCredentials, urlNow, headersNow);
}

/** The name that clients with a shared connection have in common; undefined when it must not be shared. */
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
    throw new TypeError(`walwatch/client: '${given}' is not a valid URL; outside of a page it must be absolute`);
  }
}
