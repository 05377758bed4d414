import { thrownText, WatchError } from '../errors.ts';

/**
 * An attempt came to nothing, and it was not its handler's fault: the session for the handler was lost, or could not be
 * opened. The attempt is made again, and does not count.
 */
export class Interrupted extends WatchError {
  constructor(subscription: string, cause: unknown) {
    const known = cause instanceof WatchError ? cause : undefined;
    super(known?.code ?? 'CONNECTION', `${subscription}: the handler's session failed: ${messageOf(cause)}`, {
      solution: `${known?.solution ?? 'Look at the server.'} The event is kept and tried again; this does not use up attempts.`,
      cause,
    });
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : thrownText(cause);
}
