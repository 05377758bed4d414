import { thrownText, WatchError } from '../errors.ts';

/**
 * An attempt failed, but not because of the handler: its session was lost or could not be opened. The attempt is repeated
 * and does not count.
 */
export class Interrupted extends WatchError {
  constructor(subscription: string, cause: unknown) {
    const known = cause instanceof WatchError ? cause : undefined;
    super(known?.code ?? 'CONNECTION', `${subscription}: the handler's session failed: ${messageOf(cause)}`, {
      solution: `${known?.solution ?? 'Check the database server.'} walwatch keeps the event and tries again; this does not count as an attempt.`,
      cause,
    });
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : thrownText(cause);
}
