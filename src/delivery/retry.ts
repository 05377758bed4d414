import type { DeliveryContext, ErrorAction, OnError } from '../types/delivery.ts';

const firstDelay = 100;
const longestDelay = 60_000;

/**
 * Milliseconds until the next attempt: doubling from 0.1 s to 60 s, of which a random half is taken off so that many
 * failures at once do not come back at once.
 */
export function retryDelay(attempt: number, random: number): number {
  const delay = Math.min(longestDelay, firstDelay * 2 ** Math.min(attempt - 1, 30));
  return Math.round(delay * (0.5 + random / 2));
}

/** What follows on a failed attempt. */
export function decide(onError: OnError, error: unknown, context: DeliveryContext): ErrorAction {
  if (onError === 'retry') return 'retry';
  if (typeof onError === 'function') return onError(error, context);
  return context.attempt < onError.attempts ? 'retry' : onError.then;
}

export function isErrorAction(value: unknown): value is ErrorAction {
  return value === 'retry' || value === 'stop' || value === 'skip' || value === 'deadLetter';
}
