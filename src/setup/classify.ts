import { WatchError, type WatchErrorCode } from '../errors.ts';
import { publicationLost } from './publication.ts';
import { slotLost } from './slot.ts';

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const byState: Readonly<Record<string, readonly [WatchErrorCode, solution: string | undefined]>> = {
  '28P01': ['AUTHENTICATION', 'Check user and password of `connection`.'],
  '28000': ['AUTHENTICATION', 'Check the role, and whether pg_hba.conf lets it in, also for replication.'],
  '3D000': ['AUTHENTICATION', 'Check the database name of `connection`.'],
  '53300': ['SERVER_BUSY', 'It is tried again. Raise max_connections or max_wal_senders, or close other connections.'],
  '53400': ['SERVER_BUSY', 'It is tried again. Raise max_replication_slots, or drop slots that nobody uses.'],
  '55P03': ['SERVER_BUSY', 'It is tried again: a lock on a table or on the publication was not to be had in time.'],
  '57P03': ['SERVER_BUSY', 'It is tried again: the server is starting up, shutting down or recovering.'],
  '42501': ['PERMISSION', 'Grant the right to the role of `connection`.'],
  '08P01': [
    'UNSUPPORTED',
    'Something between walwatch and PostgreSQL does not speak its protocol, such as a pooler. Connect to the server directly.',
  ],
  // Among them "could not open relation with OID", when a table is dropped while the catalog is asked for it.
  XX000: ['CONNECTION', 'An internal error of the server. It is tried again; look into its log if it stays.'],
  '55006': ['SLOT_ACTIVE', 'Another worker has the slot. This one waits as its standby.'],
};

const tlsCodes = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO)/;

/**
 * What PostgreSQL says about slot and publication while it streams, by the C function that says it: texts are translated.
 * https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/replication/slot.c
 */
function lost(error: { code?: unknown; routine?: unknown }, text: string, names: Names): WatchError | undefined {
  const { code, routine } = error;
  if (code === '42704' && routine === 'get_publication_oid') return publicationLost(text, names, error);
  if (code === '42704' && routine === 'ReplicationSlotAcquire') return slotLost(names.slot, text, undefined);
  if (code === '55000' && typeof routine === 'string' && /Slot|DecodingContext|LogicalReplication/.test(routine)) {
    return slotLost(names.slot, text, undefined);
  }
  return undefined;
}

export interface Names {
  readonly slot: string;
  readonly publication: string;
}

/** Which of walwatch's errors stands for one of PostgreSQL, pg or Node. What is not known is a lost connection: it is tried again. */
export function classify(error: unknown, names: Names): WatchError {
  if (error instanceof WatchError) return error;
  const { code, message, errors } = error as { code?: unknown; message?: unknown; errors?: unknown };
  // A host with several addresses: Node tries them all, and gives one error for each.
  const first = Array.isArray(errors) ? (errors[0] as { message?: unknown } | undefined)?.message : undefined;
  const text = String((typeof message === 'string' && message) || first || error);
  const gone = lost(error as object, text, names);
  if (gone) return gone;
  const known = typeof code === 'string' ? byState[code] : undefined;
  if (known) return new WatchError(known[0], text, { solution: known[1], cause: error });
  if ((typeof code === 'string' && tlsCodes.test(code)) || /does not support SSL|SSL connection/i.test(text)) {
    return new WatchError('TLS', text, {
      solution:
        'Check sslmode and the certificates of `connection`. walwatch never falls back to an unencrypted connection.',
      cause: error,
    });
  }
  if (typeof code === 'string' && /^(42|22|0A|XX)/.test(code)) {
    // The server refuses what we say, and would again.
    return new WatchError('UNSUPPORTED', text, {
      solution: 'Is this a direct connection to PostgreSQL, without a pooler? If so, please report it.',
      cause: error,
    });
  }
  return new WatchError('CONNECTION', text, {
    solution: 'It is tried again. Check host and port of `connection`, and the server.',
    cause: error,
  });
}
