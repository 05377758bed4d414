import { thrownText, WatchError } from '../errors.ts';
import type { HeldBy } from '../types/events.ts';

type Failing = Pick<HeldBy, 'subscription' | 'eventId' | 'attempt' | 'sql'>;

/** The error that ends the watch when `onError` says 'stop'. */
export function handlerFailed({
  subscription,
  eventId,
  attempt,
  error,
  sql,
}: Failing & Pick<HeldBy, 'error'>): WatchError {
  return new WatchError(
    'HANDLER_FAILED',
    `${subscription}: the handler failed for event ${eventId}, attempt ${attempt}: ${thrownText(error)}`,
    {
      solution: `Fix the handler and start again. The event was not acknowledged and will be delivered again.${lookAt(sql)}`,
      cause: error,
    },
  );
}

/** No attempt can succeed, and `onError` has no final action. */
export function heldForever({ subscription, eventId, error, sql }: Failing & Pick<HeldBy, 'error'>): WatchError {
  return new WatchError(
    'HANDLER_FAILED',
    `${subscription}: event ${eventId} cannot be handled, so the slot cannot advance: ${thrownText(error)}`,
    {
      solution: `walwatch does not retry it. Fix the cause and start again, or move such events to the dead letters: onError: { attempts: 1, then: 'deadLetter' }.${lookAt(sql)}`,
      cause: error,
    },
  );
}

/** Earlier processes have started its handler too often. */
export function neverFinished({ subscription, eventId, attempt, sql }: Failing): WatchError {
  return new WatchError(
    'HANDLER_FAILED',
    `${subscription}: the handler of event ${eventId} was called ${attempt} times, and each time the process ended before the handler finished`,
    {
      solution: `Find out why the process ends: process.exit(), too little memory, an uncaught exception.${lookAt(sql)}`,
    },
  );
}

/** A sentence with SQL that shows the event's row. */
function lookAt(sql: string | undefined): string {
  return sql === undefined ? '' : ` Look at the row: ${sql}`;
}
