import type { Change } from 'walwatch';
import { sign } from './signature.ts';

/** The receiver answered with an error status. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`the receiver answered ${status}`);
    this.status = status;
  }

  /** The same request would be refused again. 408 and 429 ask for a retry, and 5xx is a failure of the receiver. */
  get isFinal(): boolean {
    return this.status < 500 && this.status !== 408 && this.status !== 429;
  }
}

/** Returns a handler that posts each change with a signature, and fails unless the receiver accepts it. */
export function sender(url: string, secret: string) {
  return async ({ watcher, event, context: { eventId, committedAt, signal } }: Change): Promise<void> => {
    // The same at every attempt, so that the receiver can recognise a webhook that it has already accepted.
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
