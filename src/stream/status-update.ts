import type { Lsn } from '../postgres/lsn.ts';

/** The content of a standby status update. A `flush` of 0 keeps the session alive without moving the slot. */
export interface StatusUpdate {
  readonly write: Lsn;
  readonly flush: Lsn;
  /** Requests an answer, which shows that the server is alive. */
  readonly replyRequested: boolean;
}

const postgresEpochMicroseconds = 946_684_800_000_000n;

/** https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-STANDBY-STATUS-UPDATE */
export function encodeStatusUpdate({ write, flush, replyRequested }: StatusUpdate, now: number): Buffer {
  const bytes = Buffer.alloc(34);
  bytes.write('r', 0, 'latin1');
  bytes.writeBigUInt64BE(write, 1);
  bytes.writeBigUInt64BE(flush, 9);
  bytes.writeBigUInt64BE(flush, 17);
  bytes.writeBigInt64BE(BigInt(Math.trunc(now)) * 1000n - postgresEpochMicroseconds, 25);
  bytes.writeUInt8(replyRequested ? 1 : 0, 33);
  return bytes;
}
