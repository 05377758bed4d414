import type { IncomingMessage, ServerResponse } from 'node:http';
import { goneSignal } from './gone.ts';
import { type Body, incomingBody } from './node-body.ts';

/**
 * Makes a web-standard handler one for `node:http`, and for frameworks that hand its request and response on.
 * What the handler throws goes to `next`; without one the answer is a 500 and the error a warning of the process.
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

/** Path and query are those of the request line, whatever the Host header says. */
function urlOf(incoming: IncomingMessage & { originalUrl?: string }, headers: Headers): string {
  const scheme = 'encrypted' in incoming.socket ? 'https' : 'http';
  const host = headers.get('host') || String(incoming.headers[':authority'] ?? 'localhost');
  if (!authority.test(host)) throw new TypeError('the Host header is malformed');
  // Express cuts the path that a handler is mounted at off `url`.
  const target = incoming.originalUrl ?? incoming.url ?? '/';
  if (target.startsWith('/')) return `${scheme}://${host}${target}`;
  const { pathname, search } = new URL(target); // as proxies are asked
  return `${scheme}://${host}${pathname}${search}`;
}

/** Waits for a client that reads slowly, so that what it has not read stays with the handler, which bounds it. */
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
  // It has failed already: see `read`.
  gone.addEventListener('abort', () => void reader.cancel().catch(() => {}), { once: true });
  // Also while a write is waited for, which a client that reads nothing would make for ever.
  reader.closed.catch(() => outgoing.destroy());
  for (;;) {
    const chunk = await reader.read().catch(() => undefined); // cut by the handler: destroyed above
    if (chunk === undefined || gone.aborted) return;
    if (chunk.done) break;
    if (!outgoing.write(chunk.value) && !(await drained(outgoing, gone))) return;
  }
  outgoing.end();
}

/** Whether it takes more; false when the client has gone. */
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
