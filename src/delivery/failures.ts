import { thrownText, WatchError } from '../errors.ts';
import type { HeldBy } from '../types/events.ts';

type Failing = Pick<HeldBy, 'subscription' | 'eventId' | 'attempt' | 'sql'>;

/** `onError` says to stop. */
export function handlerFailed({
  subscription,
  eventId,
  attempt,
  error,
  sql,
}: Failing & Pick<HeldBy, 'error'>): WatchError {
  return new WatchError(
    'HANDLER_FAILED',
    `${subscription}: the handler failed at event ${eventId}, attempt ${attempt}: ${thrownText(error)}`,
    {
      solution: `Fix the handler and start again: the event was not acknowledged and comes again.${lookAt(sql)}`,
      cause: error,
    },
  );
}

/** No attempt can succeed, and `onError` knows nothing but attempts. */
export function heldForever({ subscription, eventId, error, sql }: Failing & Pick<HeldBy, 'error'>): WatchError {
  return new WatchError(
    'HANDLER_FAILED',
    `${subscription}: event ${eventId} cannot be handled, and holds the slot: ${thrownText(error)}`,
    {
      solution: `No further attempt is made. Fix the cause and start again, or let it go: onError: { attempts: 1, then: 'deadLetter' }.${lookAt(sql)}`,
      cause: error,
    },
  );
}

/** Processes before this one have begun it too often. */
export function neverFinished({ subscription, eventId, attempt, sql }: Failing): WatchError {
  return new WatchError(
    'HANDLER_FAILED',
    `${subscription}: the handler of event ${eventId} was called ${attempt} times by processes that ended before it had finished`,
    {
      solution: `Look for what ends the process: process.exit(), too little memory, an uncaught exception.${lookAt(sql)}`,
    },
  );
}

/** Where the event's row can be looked at. */
function lookAt(sql: string | undefined): string {
  return sql === undefined ? '' : ` Look at the row: ${sql}`;
}
