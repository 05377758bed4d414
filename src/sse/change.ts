import type { EventContext } from '../types/delivery.ts';
import type { FilterColumns, Traits, Values } from './criterion.ts';
import { plainRow, toJson } from './values.ts';

/** A change as it is sent to browsers. */
export interface Change extends Traits {
  readonly eventId: string;
  /** The part of its message after the list of subscriptions. All clients and the history share these bytes. */
  readonly body: Uint8Array;
}

const encoder = new TextEncoder();

/** @throws the error of JSON.stringify for a value of the user's own parser */
export function makeChange(event: object, context: EventContext, columns: FilterColumns): Change {
  const { watcher, eventId, previous, absent } = context;
  const { values, types } = plainRow(event);
  let body = `"watcher":${JSON.stringify(watcher)},"event":${toJson(values)}`;
  if (Object.keys(types).length > 0) body += `,"types":${JSON.stringify(types)}`;
  if (absent.length > 0) body += `,"absent":${JSON.stringify(absent)}`;
  return {
    eventId,
    body: encoder.encode(`${body}}\n\n`),
    now: columns.textsOf(event as Values),
    before: columns.textsOf(previous as Values),
  };
}

/** A larger message is sent in two parts, so that clients with other subscription numbers share the second. */
const whole = 4096;

/** The message of a change for the subscriptions with these numbers. */
export function changeMessage({ eventId, body }: Change, subscriptions: readonly number[]): readonly Uint8Array[] {
  const head = encoder.encode(`id: ${eventId}\ndata: {"for":[${subscriptions.join()}],`);
  if (body.byteLength > whole) return [head, body];
  const message = new Uint8Array(head.byteLength + body.byteLength);
  message.set(head);
  message.set(body, head.byteLength);
  return [message];
}

/** A message of the protocol: `position` is the client's position, `reset` means that changes may be missing. */
export function ownMessage(event: 'position' | 'reset', id: string, data = id): Uint8Array {
  return encoder.encode(`event: ${event}\nid: ${id}\ndata: ${data}\n\n`);
}

/** An event, because pages do not see comments. Its data is the number of milliseconds until the next. */
export const heartbeatMessage = (every: number): Uint8Array => encoder.encode(`event: heartbeat\ndata: ${every}\n\n`);

/** A random delay, so that the clients of a lost server do not all reconnect at once. */
export const retryMessage = (): Uint8Array => encoder.encode(`retry: ${1000 + Math.floor(Math.random() * 2000)}\n\n`);
