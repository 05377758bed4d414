import { WatchError } from '../errors.ts';

/** An attempt that took too long. */
export function handlerTimeout(subscription: string, timeout: number): WatchError {
  return new WatchError('HANDLER_TIMEOUT', `${subscription}: the handler has not finished after ${timeout} ms`, {
    solution:
      'Let it heed context.signal, or give it more time: { timeout }. The next attempt begins once it has settled.',
  });
}

/** Makes one attempt. It fails with HANDLER_TIMEOUT when it takes longer than that, but not before it has settled. */
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
    signal.throwIfAborted(); // what it throws because of that is not why it failed
    throw error;
  } finally {
    clearTimeout(timer);
  }
  signal.throwIfAborted();
}
