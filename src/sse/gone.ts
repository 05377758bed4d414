import type { EventEmitter } from 'node:events';

/** The requests of each socket: one listener, however many requests are queued on it. */
const waiting = new WeakMap<EventEmitter, Set<AbortController>>();

/**
 * Aborted when the client of a response has disconnected. On Node 20 and 22 a response that waits behind another one on its
 * socket (HTTP pipelining) emits no `close` when the socket closes, so this also listens to the socket.
 */
export function goneSignal(
  socket: EventEmitter & { readonly destroyed?: boolean },
  outgoing: EventEmitter,
): AbortSignal {
  const gone = new AbortController();
  const there = waiting.get(socket);
  const line = there ?? new Set<AbortController>();
  if (!there) {
    waiting.set(socket, line);
    socket.once('close', () => {
      for (const one of line) one.abort();
    });
  }
  line.add(gone);
  outgoing.once('close', () => {
    line.delete(gone);
    gone.abort();
  });
  if (socket.destroyed) gone.abort();
  return gone.signal;
}
