import type { IncomingMessage, ServerResponse } from 'node:http';
import { goneSignal } from './gone.ts';
import { type Body, incomingBody } from './node-body.ts';

/**
 * Turns a web-standard handler into one for `node:http` and for frameworks that pass on its request and response.
 * Errors of the handler go to `next`. Without `next` the answer is a 500 and the error becomes a process warning.
 *
 * @example
 * ```ts
 * const live = toNodeHandler(sse(watch, { authorize }));
 * createServer((request, response) => {
 *   if (request.url?.startsWith('/live')) live(request, response);
 * });
 * ```
 */
export function toNodeHandler(
  handler: (request: Request) => Promise<Response>,
): (request: IncomingMessage, response: ServerResponse, next?: (error: unknown) => void) => void {
  return (incoming, outgoing, next) => {
    const gone = goneSignal(incoming.socket, outgoing);
    incomingBody(incoming, (tooLarge, body) => {
      const request = tooLarge === undefined && webRequest(incoming, body, gone);
      if (request) {
        void serve(handler(request), outgoing, gone, next);
        return;
      }
      const reason = tooLarge ? 'the body is too large\n' : 'the URL or the Host header is malformed\n';
      outgoing.writeHead(tooLarge ?? 400, { 'content-type': 'text/plain' }).end(reason);
    });
  };
}

async function serve(
  answer: Promise<Response>,
  outgoing: ServerResponse,
  gone: AbortSignal,
  next: ((error: unknown) => void) | undefined,
): Promise<void> {
  try {
    await send(await answer, outgoing, gone);
  } catch (error) {
    if (next && !outgoing.headersSent) {
      next(error);
      return;
    }
    process.emitWarning(error instanceof Error ? error : String(error));
    if (outgoing.headersSent) outgoing.destroy();
    else outgoing.writeHead(500, { 'content-type': 'text/plain' }).end('the handler failed\n');
  }
}

function webRequest(incoming: IncomingMessage, body: Body, gone: AbortSignal): Request | undefined {
  const { method = 'GET', rawHeaders } = incoming;
  try {
    const headers = new Headers();
    for (let at = 0; at < rawHeaders.length; at += 2) {
      // HTTP/2 has pseudo headers, such as `:path`.
      if (!rawHeaders[at]!.startsWith(':')) headers.append(rawHeaders[at]!, rawHeaders[at + 1]!);
    }
    return new Request(urlOf(incoming, headers), { method, headers, body, signal: gone });
  } catch {
    return undefined; // the client's mistake: the caller answers
  }
}

/** A name or an address, and a port: nothing that could be taken for a path or a query. */
const authority = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?$/i;

/** Path and query come from the request line, whatever the Host header contains. */
function urlOf(incoming: IncomingMessage & { originalUrl?: string }, headers: Headers): string {
  const scheme = 'encrypted' in incoming.socket ? 'https' : 'http';
  const host = headers.get('host') || String(incoming.headers[':authority'] ?? 'localhost');
  if (!authority.test(host)) throw new TypeError('the Host header is malformed');
  // Express removes the mount path of a handler from `url`.
  const target = incoming.originalUrl ?? incoming.url ?? '/';
  if (target.startsWith('/')) return `${scheme}://${host}${target}`;
  const { pathname, search } = new URL(target); // the absolute form, as proxies receive it
  return `${scheme}://${host}${pathname}${search}`;
}

/** Waits while a client reads slowly, so that unread data stays with the handler, which limits it. */
async function send(response: Response, outgoing: ServerResponse, gone: AbortSignal): Promise<void> {
  if (gone.aborted) {
    await response.body?.cancel();
    return;
  }
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  const reader = response.body?.getReader();
  if (!reader) {
    outgoing.end();
    return;
  }
  // Ignored: an error shows up in `read` below.
  gone.addEventListener('abort', () => void reader.cancel().catch(() => {}), { once: true });
  // Also while a write waits: a client that does not read would let it wait forever.
  reader.closed.catch(() => outgoing.destroy());
  for (;;) {
    const chunk = await reader.read().catch(() => undefined); // cut off by the handler: destroyed above
    if (chunk === undefined || gone.aborted) return;
    if (chunk.done) break;
    if (!outgoing.write(chunk.value) && !(await drained(outgoing, gone))) return;
  }
  outgoing.end();
}

/** Resolves with true when the response accepts more, with false when the client has disconnected. */
function drained(outgoing: ServerResponse, gone: AbortSignal): Promise<boolean> {
  if (gone.aborted || outgoing.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    const drain = () => {
      gone.removeEventListener('abort', close);
      resolve(true);
    };
    const close = () => {
      outgoing.off('drain', drain);
      resolve(false);
    };
    outgoing.once('drain', drain);
    gone.addEventListener('abort', close, { once: true });
  });
}
