import type { EventContext } from 'walwatch';
import { sign } from './signature.ts';

/** What the receiver answered, if that was no success. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`the receiver answered ${status}`);
    this.status = status;
  }

  /** The same request will be refused again. 408 and 429 ask for another try, and 5xx are the receiver's own trouble. */
  get isFinal(): boolean {
    return this.status < 500 && this.status !== 408 && this.status !== 429;
  }
}

/** Makes a handler that posts each event, signed. It fails when the receiver does not take it. */
export function sender(url: string, secret: string) {
  return async (event: object, { watcher, eventId, committedAt, signal }: EventContext): Promise<void> => {
    // The same at every attempt, so that the receiver can tell what it has already taken.
    const id = `${watcher}/${eventId}`;
    const timestamp = Math.floor(Date.now() / 1000);
    const body = JSON.stringify({ type: watcher, timestamp: committedAt, data: event });
    const response = await fetch(url, {
      method: 'POST',
      body,
      signal,
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': sign(secret, { id, timestamp, body }),
      },
    });
    await response.body?.cancel();
    if (!response.ok) throw new Refused(response.status);
    console.log('sent', id);
  };
}
