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

/** How many unacknowledged events may be in flight to JetStream. */
const inFlight = 512;

/** Options of `relay`. */
export interface RelayOptions extends NatsOptions {
  /** Limits of the stream, when the worker creates it. */
  readonly limits?: StreamLimits;
}

/**
 * Publishes every event of the watch's watchers to JetStream. The slot advances when JetStream has acknowledged the event.
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
  /** Whether the current outage was reported. */
  let warned = false;
  /** The stream is created only once. If somebody deletes it, its events are lost, and an empty new stream would hide that. */
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
      // With the commit time, because a promoted standby may reach the same position again.
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
      if (ended) return 'skip'; // the relay was ended by unsubscribe()
      if (!(error instanceof WatchError && error.code === 'CONNECTION')) return 'retry';
      subscription.lane?.abort(error); // no need to wait until the other events in flight fail as well
      return 'stop';
    },
  });
  // Opened once this worker has the slot, so that remote watches find the stream before the first event.
  const off = watch.on('connected', () => publisher.open());
  const over = new Error(`${name} was ended by unsubscribe(), or its watch has ended`);
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

/** A denied request is reported with the permission to grant. */
function known(cause: Error, stream: string): Error {
  const error = classifyNats(cause, stream);
  return error.code === 'PERMISSION' ? error : cause;
}

function notTaken(name: string, error: Error): WatchError {
  const code = error instanceof WatchError ? error.code : 'CONNECTION';
  return new WatchError(code, `${name}: events cannot be published and the slot does not advance: ${error.message}`, {
    solution:
      (error as Partial<WatchError>).solution ??
      'No event is lost: walwatch publishes them again until JetStream stores them. Check the NATS server and the stream (nats stream info).',
    cause: error,
  });
}

function closed(name: string, cause: Error): WatchError {
  return new WatchError('CONNECTION', `${name}: ${cause.message} and will not reconnect`, {
    solution:
      'Use connect({ maxReconnectAttempts: -1 }), which never stops reconnecting. At shutdown, stop the watch before you close the connection. Unpublished events are delivered again after a restart.',
    cause,
  });
}
