import type { EventContext } from '../types/delivery.ts';
import type { Subscription } from '../types/delivery.ts';
import { type ConfigurationIssue, throwIssues, WatchError } from '../errors.ts';
import { internalsOf } from '../observe/internals.ts';
import { unknownKeys } from '../option-names.ts';
import type { SlotWatch } from '../types/watch.ts';
import { keysOf, writeMessage } from './message.ts';
import { classifyNats } from './classify.ts';
import { accessOf, natsIssues, natsOptionNames, type NatsOptions } from './options.ts';
import { Publisher } from './publisher.ts';
import { limitIssues, openStream, type StreamLimits } from './stream.ts';
import { eventSubject, noKey, subjectToken } from './subjects.ts';

/** How many events may be on their way to JetStream at once. */
const inFlight = 512;

/** Options of `relay`. */
export interface RelayOptions extends NatsOptions {
  /** Of the stream, if the worker makes it. */
  readonly limits?: StreamLimits;
}

/**
 * Publishes every event of the watch's watchers to JetStream. The slot moves on when JetStream has acknowledged.
 *
 * @example
 * ```ts
 * const connection = await connect({ servers: 'nats://127.0.0.1:4222', maxReconnectAttempts: -1 });
 * relay(watch, { connection, stream: 'accounts' });
 * await watch.start();
 * ```
 * @throws ConfigurationError; WatchError `STOPPED`
 */
export function relay(watch: SlotWatch<any>, options: RelayOptions): Subscription {
  const inner = internalsOf(watch);
  const issues: ConfigurationIssue[] = [...natsIssues(options), ...limitIssues(options.limits)];
  unknownKeys(options, [...natsOptionNames, 'limits'], 'option', issues);
  throwIssues(issues);
  const { stream, limits } = options;
  const access = accessOf(options);
  const name = `relay:${stream}`;
  let ended = false;
  /** Of the outage that lasts. */
  let warned = false;
  /** The stream is made once: if somebody deletes it, what it held is lost, and must not seem to be there. */
  let opened = false;

  const publisher = new Publisher(access.connection, {
    stream,
    prepare: async () => {
      await openStream(access, stream, inner.slot, inner.create && !opened, limits);
      opened = true;
    },
    failed: (cause, retryIn) => {
      const error = known(cause, stream);
      const held = subscription.lane?.oldest;
      if (held) {
        const { eventId } = held.deliverable.change;
        held.error = error;
        inner.failed({ recipient: subscription, eventId, attempt: held.attempt++, error, action: 'retry', retryIn });
      }
      if (!warned) inner.warn(notTaken(name, error));
      warned = true;
    },
    recovered: () => (warned = false),
    lost: (error) => publisher.close(closed(name, error)),
  });

  const publish = (_: unknown, context: EventContext): Promise<unknown> => {
    const occurrence = inner.occurrence(context);
    const { change, planned } = occurrence;
    const { key, before } = keysOf(occurrence);
    const { payload, copy } = writeMessage(occurrence);
    const watcher = subjectToken(planned.bound.watcher.name);
    const send = (to: string | undefined, text: string) => {
      const subject = eventSubject(inner.slot, watcher, to === undefined ? noKey : subjectToken(to));
      // The time of the commit besides, because a standby that was promoted may reach the same position once more.
      const origin = `${inner.systemIdentifier()}:${inner.slot}:${change.transaction.committedAt.getTime().toString(36)}`;
      return publisher.publish(subject, `${origin}:${change.eventId}:${subject}`, text);
    };
    const published = send(key, payload);
    return before === undefined ? published : Promise.all([published, send(before, copy())]);
  };

  const subscription = inner.tap({
    name,
    handler: publish,
    concurrency: inFlight,
    onError: (error) => {
      if (ended) return 'skip'; // nobody wants it published any more
      if (!(error instanceof WatchError && error.code === 'CONNECTION')) return 'retry';
      subscription.lane?.abort(error); // the others that are on their way need not fail as well
      return 'stop';
    },
  });
  // Now that the slot is ours, so that others find the stream before the first event.
  const off = watch.on('connected', () => publisher.open());
  const over = new Error(`${name} has ended`);
  const end = () => publisher.close(over);
  inner.over.then(end, end);
  return {
    name,
    existing: undefined,
    unsubscribe: () => {
      if (ended) return;
      ended = true;
      off();
      subscription.unsubscribe();
      publisher.finish(over);
    },
    [Symbol.dispose]() {
      this.unsubscribe();
    },
  };
}

/** What is not permitted is told with what to grant. */
function known(cause: Error, stream: string): Error {
  const error = classifyNats(cause, stream);
  return error.code === 'PERMISSION' ? error : cause;
}

function notTaken(name: string, error: Error): WatchError {
  const code = error instanceof WatchError ? error.code : 'CONNECTION';
  return new WatchError(code, `${name}: events are held back, and the slot with them: ${error.message}`, {
    solution:
      (error as Partial<WatchError>).solution ??
      'Nothing is lost: they are published again until JetStream takes them. Look at the NATS server and the stream (nats stream info).',
    cause: error,
  });
}

function closed(name: string, cause: Error): WatchError {
  return new WatchError('CONNECTION', `${name}: ${cause.message}, and does not come back by itself`, {
    solution:
      'connect({ maxReconnectAttempts: -1 }) reconnects for ever. At a shutdown end the watch before the connection: what was not published comes again.',
    cause,
  });
}
