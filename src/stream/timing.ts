import type { RetryClass } from '../errors.ts';

/** Milliseconds between status updates: often enough for the server never to give the session up. */
export function statusInterval(walSenderTimeout: number): number {
  return Math.min(10_000, Math.max(100, Math.floor(walSenderTimeout / 3)));
}

/** The session's wal_sender_timeout: the server's, unless that is none or so long that a dead peer would go unnoticed. */
export function sessionTimeout(walSenderTimeout: number): number {
  const longest = 60_000;
  return walSenderTimeout === 0 ? longest : Math.min(walSenderTimeout, longest);
}

/** Milliseconds that an ordinary session waits for an answer: a silent one is noticed within two wal_sender_timeouts. */
export function answerTimeout(walSenderTimeout: number): number {
  return Math.max(5000, sessionTimeout(walSenderTimeout));
}

/**
 * What to do about a peer that was last heard of `silence` milliseconds ago, as far as the looks at every status interval
 * tell: it may have fallen silent up to one of them earlier. Noticed within two timeouts: dead when the next look would
 * come later than that. A paused reader hears nothing, and must not judge.
 */
export function judgeSilence(silence: number, walSenderTimeout: number, paused: boolean): 'alive' | 'ask' | 'dead' {
  if (paused) return 'alive';
  const interval = statusInterval(walSenderTimeout);
  if (silence >= walSenderTimeout && silence + 2 * interval > walSenderTimeout * 2) return 'dead';
  return silence >= interval ? 'ask' : 'alive';
}

/** Milliseconds of streaming after which a connection counts as a success, if nothing was acknowledged earlier. */
export const provenAfter = 5000;

const delays: Readonly<Record<Exclude<RetryClass, 'never'>, { readonly first: number; readonly longest: number }>> = {
  soon: { first: 100, longest: 10_000 },
  slowly: { first: 1000, longest: 60_000 },
};

/** Milliseconds until the next attempt to connect, doubling, less a random half. `failures` counts from 1. */
export function reconnectDelay(retry: Exclude<RetryClass, 'never'>, failures: number, random: number): number {
  const { first, longest } = delays[retry];
  return Math.round(Math.min(longest, first * 2 ** Math.min(failures - 1, 30)) * (0.5 + random / 2));
}
