import { thrownText, WatchError } from '../errors.ts';

/** `onError` says to stop. */
export function handlerFailed(subscription: string, eventId: string, attempt: number, error: unknown): WatchError {
  return new WatchError(
    'HANDLER_FAILED',
    `${subscription}: the handler failed at event ${eventId}, attempt ${attempt}: ${thrownText(error)}`,
    { solution: 'Fix the handler and start again: the event was not acknowledged and comes again.', cause: error },
  );
}

/** No attempt can succeed, and `onError` knows nothing but attempts. */
export function heldForever(subscription: string, eventId: string, error: unknown): WatchError {
  return new WatchError(
    'HANDLER_FAILED',
    `${subscription}: event ${eventId} cannot be handled, and holds the slot: ${thrownText(error)}`,
    {
      solution:
        "No further attempt is made. Fix the cause and start again, or let it go: onError: { attempts: 1, then: 'deadLetter' }.",
      cause: error,
    },
  );
}

/** Processes before this one have begun it too often. */
export function neverFinished(subscription: string, eventId: string, attempts: number): WatchError {
  return new WatchError(
    'HANDLER_FAILED',
    `${subscription}: the handler of event ${eventId} was called ${attempts} times by processes that ended before it had finished`,
    { solution: 'Look for what ends the process: process.exit(), too little memory, an uncaught exception.' },
  );
}
