import type { DeliveryContext, ErrorAction, OnError } from '../types/delivery.ts';
import { isThenable } from './thenable.ts';

const firstDelay = 100;
const longestDelay = 60_000;

/**
 * Milliseconds until the next attempt: doubles from 0.1 s to 60 s, minus up to half at random, so that many events that
 * failed together are not retried together.
 */
export function retryDelay(attempt: number, random: number): number {
  const delay = Math.min(longestDelay, firstDelay * 2 ** Math.min(attempt - 1, 30));
  return Math.round(delay * (0.5 + random / 2));
}

/** Decides what happens after a failed attempt, and which error to report. `permanent`: no further attempt can succeed. */
export function decide(
  onError: OnError,
  error: unknown,
  context: DeliveryContext,
  permanent = false,
): { readonly action: ErrorAction; readonly error: unknown } {
  if (onError === 'retry') return { action: 'retry', error };
  if (typeof onError === 'object')
    return { action: !permanent && context.attempt < onError.attempts ? 'retry' : onError.then, error };
  try {
    const decided: unknown = onError(error, context);
    if (isErrorAction(decided)) return { action: decided, error };
    if (!isThenable(decided)) return { action: 'retry', error };
    Promise.resolve(decided).catch(() => {}); // its decision would be too late; ignore its rejection too
    return { action: 'retry', error: new TypeError('onError must not return a promise', { cause: error }) };
  } catch (thrown) {
    return { action: 'retry', error: thrown };
  }
}

/** Any other value that `onError` returns is not an action: an event is skipped only if `onError` asks for it. */
export function isErrorAction(value: unknown): value is ErrorAction {
  return value === 'retry' || value === 'stop' || value === 'skip' || value === 'deadLetter';
}
