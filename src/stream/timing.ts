import type { RetryClass } from '../errors.ts';

/** Milliseconds between status updates: often enough that the server never times the session out. */
export function statusInterval(walSenderTimeout: number): number {
  return Math.min(10_000, Math.max(100, Math.floor(walSenderTimeout / 3)));
}

/** The session's wal_sender_timeout: the server's, unless that is off or so long that a dead peer would go unnoticed. */
export function sessionTimeout(walSenderTimeout: number): number {
  const longest = 60_000;
  return walSenderTimeout === 0 ? longest : Math.min(walSenderTimeout, longest);
}

/** Milliseconds that an ordinary session waits for an answer, so that a silent server is noticed within two wal_sender_timeouts. */
export function answerTimeout(walSenderTimeout: number): number {
  return Math.max(5000, sessionTimeout(walSenderTimeout));
}

/** Milliseconds between two checks of whether data arrives. */
export function lookInterval(walSenderTimeout: number): number {
  return Math.min(500, Math.floor(statusInterval(walSenderTimeout) / 10));
}

/** Milliseconds that an answer may take on a working network. */
export const patience = 2000;

/** Milliseconds without a byte after which the server counts as silent; it is asked at every status interval. */
export function silentAfter(walSenderTimeout: number): number {
  return 2 * statusInterval(walSenderTimeout);
}

/** Milliseconds without a byte after which the connection is given up: between one and two wal_sender_timeouts. */
export function deadAfter(walSenderTimeout: number): number {
  const interval = statusInterval(walSenderTimeout);
  return Math.max(3 * interval, 2 * (walSenderTimeout - interval));
}

/** Milliseconds of streaming after which a connection counts as a success, unless something was acknowledged earlier. */
export const provenAfter = 5000;

const delays: Readonly<Record<Exclude<RetryClass, 'never'>, { readonly first: number; readonly longest: number }>> = {
  soon: { first: 100, longest: 10_000 },
  slowly: { first: 1000, longest: 60_000 },
};

/** Milliseconds until the next attempt to connect: doubles each time, minus up to half at random. `failures` counts from 1. */
export function reconnectDelay(retry: Exclude<RetryClass, 'never'>, failures: number, random: number): number {
  const { first, longest } = delays[retry];
  return Math.round(Math.min(longest, first * 2 ** Math.min(failures - 1, 30)) * (0.5 + random / 2));
}
