import { ConfigurationError, type RetryClass, WatchError } from '../errors.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import { clientVerdict } from './client-verdict.ts';
import { publicationLost } from './publication.ts';
import { serverVerdict, standbyVerdict } from './server-verdict.ts';
import { slotLost } from './slot.ts';
import type { Circumstances, Verdict } from './verdict.ts';

/** Translates an error of PostgreSQL, pg or Node to a WatchError. Only errors that are known to be final end the watch; walwatch retries all others. */
export function classify(error: unknown, now: Circumstances): WatchError {
  const found = error instanceof WatchError ? error : identify(error, now);
  const { code, message, retry, solution, cause } = found;
  if (code !== 'AUTHENTICATION' || retry !== 'never' || !now.streamed || !now.passwordFunction) return found;
  return errorOf({ code, message, retry: 'slowly', solution: solution ?? '' }, cause, now);
}

/** The server is in recovery, and this process has streamed from a primary. */
export function stillStandby(message: string): WatchError {
  return errorOf(standbyVerdict(message), undefined, undefined);
}

function identify(error: unknown, now: Circumstances): WatchError {
  const message = textOf(error);
  const state = sqlStateOf(error);
  if (state === undefined) return errorOf(clientVerdict(error, message), error, now);
  return (
    lost(error as object, state, message, now) ??
    errorOf(serverVerdict(error as object, state, message, now), error, now)
  );
}

/** A host with several addresses: Node tries them all and throws an AggregateError. */
function textOf(error: unknown): string {
  const { message, errors } = (error ?? {}) as { message?: unknown; errors?: unknown };
  const first = Array.isArray(errors) ? (errors[0] as { message?: unknown } | undefined)?.message : undefined;
  return String((typeof message === 'string' && message) || first || error);
}

function errorOf(verdict: Verdict, cause: unknown, now: Circumstances | undefined): WatchError {
  const { message, solution } = verdict;
  const retry: RetryClass = verdict.retry !== 'untilStreamed' ? verdict.retry : now?.streamed ? 'slowly' : 'never';
  if (retry !== 'never') {
    const code = verdict.code === 'CONFIGURATION' ? 'SERVER_ERROR' : verdict.code;
    return new WatchError(code, message, { solution: `walwatch tries again. ${solution}`, cause, retry });
  }
  if (verdict.code === 'CONFIGURATION') return new ConfigurationError([{ message, solution }]);
  return new WatchError(verdict.code, message, { solution, cause, retry });
}

/** Changes that are lost for good, although the catalog does not show it. */
function lost(
  error: { readonly routine?: unknown },
  state: string,
  text: string,
  now: Circumstances,
): WatchError | undefined {
  if (state === sqlState.undefinedObject && error.routine === 'get_publication_oid') {
    return publicationLost(text, now, error);
  }
  if (removedWal(error) === undefined) return undefined;
  const reason = `the server no longer has the WAL that the slot '${now.slot}' needs (${text})`;
  const { message, solution } = slotLost(now.slot, reason, now.confirmed);
  return new WatchError('SLOT_LOST', message, { solution, cause: error, retry: now.recreates ? 'soon' : 'never' });
}

/** The server's message about WAL that a slot needs and that is gone: its files were removed from pg_wal, or the slot was restored without them. */
export function removedWal(error: unknown): string | undefined {
  const { routine } = (error ?? {}) as { routine?: unknown };
  const removed = sqlStateOf(error) === sqlState.undefinedFile && typeof routine === 'string' && readsWal.test(routine);
  return removed ? textOf(error) : undefined;
}

const readsWal = /^(WalSndSegmentOpen|wal_segment_open|XLogReadDetermineTimeline)$/;
