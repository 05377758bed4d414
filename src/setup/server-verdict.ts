import { endsSession, isRaised, sqlState } from '../postgres/sqlstate.ts';
import type { Circumstances, Verdict } from './verdict.ts';

/** Fields of PostgreSQL's error. `routine` is the C function that reported it. Unlike the message, it is never translated. */
interface ServerError {
  readonly routine?: unknown;
  readonly detail?: unknown;
  readonly where?: unknown;
}

const byState: Readonly<Record<string, readonly [Verdict['code'], Verdict['retry'], solution: string]>> = {
  [sqlState.invalidPassword]: ['AUTHENTICATION', 'never', 'Check user and password of `connection`.'],
  [sqlState.invalidAuthorization]: [
    'AUTHENTICATION', 'never', 'Check the role, and whether pg_hba.conf admits it, also for replication.',
  ],
  [sqlState.invalidCatalogName]: ['AUTHENTICATION', 'untilStreamed', 'Check the database name of `connection`.'],
  [sqlState.insufficientPrivilege]: ['PERMISSION', 'never', 'Grant the right to the role of `connection`.'],
  [sqlState.tooManyConnections]: [
    'SERVER_BUSY', 'slowly', 'Raise max_connections or max_wal_senders, or close other connections.',
  ],
  [sqlState.configurationLimitExceeded]: [
    'SERVER_BUSY', 'slowly', 'Raise max_replication_slots, or drop unused slots.',
  ],
  [sqlState.diskFull]: ['SERVER_BUSY', 'slowly', "Free space on the server's disk."],
  [sqlState.outOfMemory]: ['SERVER_BUSY', 'slowly', 'Give the server more memory, or close other connections.'],
  [sqlState.lockNotAvailable]: [
    'SERVER_BUSY', 'slowly', 'Another session holds a lock on a table or on the publication.',
  ],
  [sqlState.deadlockDetected]: ['SERVER_BUSY', 'soon', 'Another session changed the same objects.'],
  [sqlState.serializationFailure]: ['SERVER_BUSY', 'soon', 'Another session changed the same objects.'],
  // A restart usually takes seconds.
  [sqlState.cannotConnectNow]: ['SERVER_BUSY', 'soon', 'The server is starting up, shutting down or recovering.'],
  [sqlState.objectInUse]: ['SLOT_ACTIVE', 'soon', 'Another worker has the slot. This one waits as its standby.'],
}; // prettier-ignore

/** What an error of PostgreSQL means. An unknown error is never final. */
export function serverVerdict(error: ServerError, state: string, message: string, now: Circumstances): Verdict {
  const named = ofSlot(error, state, message, now) ?? ofStatement(error, state, message);
  if (named) return named;
  const known = byState[state];
  if (known) return { code: known[0], message, retry: known[1], solution: known[2] };
  if (endsSession(state)) {
    return {
      code: 'CONNECTION',
      message,
      retry: 'soon',
      solution: "The server ended the session: see the server's log.",
    };
  }
  return {
    code: 'SERVER_ERROR',
    message: `${message} (SQLSTATE ${state})`,
    retry: 'slowly',
    solution:
      "If this stays, see the server's log. walwatch needs a direct connection to PostgreSQL, without a pooler.",
  };
}

/**
 * Errors about slots. Only the catalog shows whether a slot is lost, and the next attempt reads it: the same functions also complain
 * about slots that are fine.
 * https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/replication/slot.c
 */
function ofSlot(error: ServerError, state: string, text: string, now: Circumstances): Verdict | undefined {
  const { routine, detail } = error;
  if (typeof routine !== 'string' || state === sqlState.objectInUse) return undefined;
  const message = typeof detail === 'string' && detail !== '' ? `${text}: ${detail}` : text;
  const slots = /Slot|Decoding|LogicalReplication/.test(routine);
  if (routine === 'PreventCommandDuringRecovery' || (slots && now.inRecovery)) return standbyVerdict(message);
  if (routine === 'CheckSlotRequirements') {
    const solution =
      "ALTER SYSTEM SET max_replication_slots = 10; ALTER SYSTEM SET wal_level = 'logical'; then restart the server.";
    return { code: 'CONFIGURATION', message, retry: 'untilStreamed', solution };
  }
  const prerequisite = state === sqlState.objectNotInPrerequisiteState || state === sqlState.undefinedObject;
  if (!slots || !prerequisite) return undefined;
  return {
    code: 'SERVER_BUSY',
    message,
    retry: 'soon',
    solution: `If the slot is lost, the next attempt reports it. To see it: SELECT * FROM pg_catalog.pg_replication_slots;`,
  };
}

/** A promotion may give a standby what it lacks, or the address may lead to the primary again. */
export function standbyVerdict(message: string): Verdict {
  return {
    code: 'SERVER_BUSY',
    message: `the server is still a standby (in recovery): ${message}`,
    retry: 'soon',
    solution:
      'Nothing is received until the server is promoted (SELECT pg_catalog.pg_promote()) or `connection` leads to the primary. Nothing is lost by waiting.',
  };
}

/** Errors of PostgreSQL, or of the application's code in it, about a statement of walwatch. */
function ofStatement(error: ServerError, state: string, text: string): Verdict | undefined {
  if (state === sqlState.readOnlyTransaction) {
    return {
      code: 'CONFIGURATION',
      message: `publication and slot cannot be created, because default_transaction_read_only is on: ${text}`,
      retry: 'untilStreamed',
      solution:
        'For this role: SET default_transaction_read_only = off; ALTER ROLE CURRENT_USER SET default_transaction_read_only = off; (some providers turn it on ' +
        "while the disk is full). Or create publication and slot by hand and use manage: 'verify'.",
    };
  }
  if (isRaised(error, state)) {
    const place = typeof error.where === 'string' ? ` (${error.where.split('\n', 1)[0]})` : '';
    return {
      code: 'PERMISSION',
      message: `an event trigger or another function in the database refuses a statement of walwatch: ${text}${place}`,
      retry: 'untilStreamed',
      solution:
        'Change it to allow the statement for this role; SELECT evtname, evtevent, evtfoid::pg_catalog.regproc FROM pg_catalog.pg_event_trigger; lists ' +
        "event triggers. Or create publication and slot by hand and use manage: 'verify'.",
    };
  }
  // PgBouncer uses this SQLSTATE for everything, for example if the server is down. Only this message is final.
  if (state === sqlState.protocolViolation && /unsupported startup parameter/i.test(text)) {
    const solution =
      'Something between walwatch and PostgreSQL, such as a pooler, does not support its protocol. Connect to the server directly.';
    return { code: 'UNSUPPORTED', message: text, retry: 'untilStreamed', solution };
  }
  // A setting in the connection's startup, before the version is known.
  if (state === sqlState.undefinedObject && text.includes('"idle_session_timeout"')) {
    const message = `the server is older than PostgreSQL 14: ${text}`;
    return { code: 'UNSUPPORTED', message, retry: 'never', solution: 'Connect to PostgreSQL 14 or newer.' };
  }
  return undefined;
}
