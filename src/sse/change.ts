import type { EventContext } from '../types/delivery.ts';
import { type Criterion, keyOf, type Values } from './criterion.ts';
import { plainRow, toJson } from './values.ts';

/** A change as browsers get it. */
export interface Change {
  readonly watcher: string;
  readonly eventId: string;
  readonly values: Values;
  /** As far as they are known. */
  readonly previous: Values;
  /** Of the message's data: all but whom it is for. */
  readonly body: string;
}

/** @throws what JSON.stringify throws at values of the user's own parsers */
export function makeChange(event: object, { watcher, eventId, previous, absent }: EventContext): Change {
  const { values, types } = plainRow(event);
  let body = `"watcher":${JSON.stringify(watcher)},"event":${toJson(values)}`;
  if (Object.keys(types).length > 0) body += `,"types":${JSON.stringify(types)}`;
  if (absent.length > 0) body += `,"absent":${JSON.stringify(absent)}`;
  return { watcher, eventId, values, previous: plainRow(previous).values, body };
}

/** Whether a filter means a change: by its new values, or those of before. `unknown`: a value that decides it was not sent. */
export function isMeant(change: Change, wanted: Criterion | undefined): boolean | 'unknown' {
  if (wanted === undefined) return true;
  const key = keyOf(wanted.columns, change.values);
  if (key === undefined) return 'unknown';
  return key === wanted.key || keyOf(wanted.columns, change.previous) === wanted.key;
}

const encoder = new TextEncoder();

/** The message for a client whose subscriptions of these numbers mean the change. */
export function changeMessage({ eventId, body }: Change, subscriptions: readonly number[]): Uint8Array {
  return encoder.encode(`id: ${eventId}\ndata: {"for":[${subscriptions.join()}],${body}}\n\n`);
}

/** A message of ours: `position` tells how far the client is, `reset` that changes may be missing. */
export function ownMessage(event: 'position' | 'reset', id: string, data = id): Uint8Array {
  return encoder.encode(`event: ${event}\nid: ${id}\ndata: ${data}\n\n`);
}

/** An event, since a comment does not reach a page. It tells how many milliseconds there are until the next. */
export const heartbeatMessage = (every: number): Uint8Array => encoder.encode(`event: heartbeat\ndata: ${every}\n\n`);

/** Clients that lost the same server do not come back all at once. */
export const retryMessage = (): Uint8Array => encoder.encode(`retry: ${1000 + Math.floor(Math.random() * 2000)}\n\n`);
