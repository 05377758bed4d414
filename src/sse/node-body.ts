import type { IncomingMessage } from 'node:http';
import { largestBody } from './query.ts';

export type Body = string | Uint8Array<ArrayBuffer> | null;

/**
 * Calls `done` with the body of a request: at once if there is none, or if Express or another framework has already read it.
 * Calls it with a status if the body is too large. Never calls it if the client disconnects before the end of the body.
 */
export function incomingBody(
  incoming: IncomingMessage & { readonly body?: unknown },
  done: (status: 413 | undefined, body: Body) => void,
): void {
  const { method, headers, body } = incoming;
  if (method === 'GET' || method === 'HEAD') done(undefined, null);
  else if (Number(headers['content-length']) > largestBody) done(413, null);
  else if (incoming.readableEnded && body !== undefined) done(undefined, asSent(body));
  else collect(incoming, done);
}

const asSent = (body: unknown): Body =>
  typeof body === 'string' || body instanceof Uint8Array ? (body as Body) : JSON.stringify(body);

function collect(incoming: IncomingMessage, done: (status: 413 | undefined, body: Body) => void): void {
  const chunks: Uint8Array[] = [];
  let size = 0;
  incoming.on('data', (chunk: Uint8Array) => {
    const fitted = size <= largestBody;
    size += chunk.length;
    if (size <= largestBody) chunks.push(chunk);
    else {
      chunks.length = 0; // the rest is read and dropped, so that the client receives the answer
      if (fitted) done(413, null);
    }
  });
  incoming.once('end', () => {
    if (size <= largestBody) done(undefined, Buffer.concat(chunks));
  });
}
