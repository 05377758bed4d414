import { WatchError } from '../errors.ts';

/** The error of an attempt that took too long. */
export function handlerTimeout(subscription: string, timeout: number): WatchError {
  return new WatchError('HANDLER_TIMEOUT', `${subscription}: the handler has not finished after ${timeout} ms`, {
    solution:
      'Make the handler react to context.signal, or increase { timeout }. The next attempt starts when this one has settled.',
  });
}

/** Runs one attempt. If it takes too long it fails with HANDLER_TIMEOUT, but only after it has settled. */
export async function attemptWithin(
  timeout: number | undefined,
  subscription: string,
  attempt: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const abortion = new AbortController();
  const { signal } = abortion;
  const abort = () => abortion.abort(handlerTimeout(subscription, timeout!));
  const timer = timeout === undefined ? undefined : setTimeout(abort, timeout);
  try {
    await attempt(signal);
  } catch (error) {
    signal.throwIfAborted(); // an error that the abort caused is not the reason
    throw error;
  } finally {
    clearTimeout(timer);
  }
  signal.throwIfAborted();
}
