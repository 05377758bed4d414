/** Signatures as specified by https://www.standardwebhooks.com. */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface Signed {
  readonly id: string;
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly body: string;
}

export function sign(secret: string, { id, timestamp, body }: Signed): string {
  return `v1,${createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}

/** Whether the signature is valid and not older than five minutes, so that a recorded request cannot be replayed later. */
export function verify(secret: string, signed: Signed, signature: string, now = Date.now() / 1000): boolean {
  const expected = Buffer.from(sign(secret, signed));
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected) && Math.abs(now - signed.timestamp) < 300;
}
