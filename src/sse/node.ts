import type { IncomingMessage, ServerResponse } from 'node:http';
import { incomingBody } from './node-body.ts';

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
    incomingBody(incoming, (status, body) => {
      const request = status === undefined && webRequest(incoming, outgoing, body);
      if (request) return void serve(handler(request), outgoing, next);
      const reason = status ? 'the body is too large\n' : 'the URL or the Host header is malformed\n';
      outgoing.writeHead(status ?? 400, { 'content-type': 'text/plain' }).end(reason);
    });
  };
}

async function serve(
  answer: Promise<Response>,
  outgoing: ServerResponse,
  next: ((error: unknown) => void) | undefined,
): Promise<void> {
  try {
    await send(await answer, outgoing);
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

function webRequest(
  incoming: IncomingMessage & { originalUrl?: string },
  outgoing: ServerResponse,
  body: string | Uint8Array<ArrayBuffer> | null,
) {
  const { method = 'GET', socket, rawHeaders } = incoming;
  const scheme = 'encrypted' in socket ? 'https' : 'http';
  const gone = new AbortController();
  outgoing.once('close', () => gone.abort());
  try {
    const headers = new Headers();
    for (let at = 0; at < rawHeaders.length; at += 2) {
      // HTTP/2 has pseudo headers, such as `:path`.
      if (!rawHeaders[at]!.startsWith(':')) headers.append(rawHeaders[at]!, rawHeaders[at + 1]!);
    }
    const host = headers.get('host') ?? incoming.headers[':authority'] ?? 'localhost';
    // Express cuts the path that a handler is mounted at off `url`.
    const url = new URL(`${scheme}://${String(host)}${incoming.originalUrl ?? incoming.url ?? '/'}`);
    return new Request(url, { method, headers, body, signal: gone.signal });
  } catch {
    return undefined; // the client's mistake: the caller answers
  }
}

/** Waits for a client that reads slowly, so that what it has not read stays with the handler, which bounds it. */
async function send(response: Response, outgoing: ServerResponse): Promise<void> {
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  const reader = response.body?.getReader();
  if (!reader) {
    outgoing.end();
    return;
  }
  outgoing.once('close', () => void reader.cancel().catch(() => {})); // it has failed already: see `read`
  // Also while a write is waited for, which a client that reads nothing would make for ever.
  reader.closed.catch(() => outgoing.destroy());
  for (;;) {
    const chunk = await reader.read().catch(() => undefined); // cut by the handler: destroyed above
    if (chunk === undefined) return;
    if (chunk.done) break;
    if (!outgoing.write(chunk.value) && !(await drained(outgoing))) return;
  }
  outgoing.end();
}

/** Whether it takes more; false when it is closed. */
function drained(outgoing: ServerResponse): Promise<boolean> {
  if (outgoing.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    const drain = () => {
      outgoing.off('close', close);
      resolve(true);
    };
    const close = () => {
      outgoing.off('drain', drain);
      resolve(false);
    };
    outgoing.once('drain', drain);
    outgoing.once('close', close);
  });
}
