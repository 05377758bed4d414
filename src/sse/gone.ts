import type { EventEmitter } from 'node:events';

/** What waits for the end of each socket: one listener, however many requests stand in line on it. */
const waiting = new WeakMap<EventEmitter, Set<AbortController>>();

/**
 * Aborted when the client of a response has gone. On Node 20 and 22 a response that stands behind another one on its
 * socket (HTTP pipelining) is not told that the socket has closed, so the socket is listened to as well.
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
