import { JetStreamApiError } from '@nats-io/jetstream';
import type { PermissionViolationError } from '@nats-io/transport-node';
import { documentation, WatchError } from '../errors.ts';
import { isMissing } from './stream.ts';

/** Which of walwatch's errors stands for one of NATS. */
export function classifyNats(cause: unknown, stream: string): WatchError {
  if (cause instanceof WatchError) return cause;
  if (isMissing(cause)) {
    return new WatchError('CONNECTION', `there is no stream '${stream}'`, {
      solution: 'The worker makes it when it starts: relay(watch, { connection, stream }). It is waited for.',
      cause,
    });
  }
  const denied = [cause, (cause as { cause?: unknown } | null)?.cause].find(isDenial);
  if (denied) return permissionMissing(denied);
  const { message } = cause instanceof Error ? cause : { message: String(cause) };
  return new WatchError('CONNECTION', cause instanceof JetStreamApiError ? `JetStream: ${message}` : message, {
    cause,
  });
}

/** Names the subject, and what to grant. */
function permissionMissing(denied: PermissionViolationError): WatchError {
  const { operation, subject } = denied;
  const solution =
    operation === 'subscription'
      ? `Grant the user of this connection: permissions: { subscribe: ["${subject.replace(/\.[^.]*(\.\*)*$/, '')}.>"] }. If it has another prefix for its answers, give that to connect({ inboxPrefix }).`
      : `Grant the user of this connection: permissions: { publish: ["${subject.replace(/^(walwatch\w*\.[^.]+|\$JS\.ACK\.[^.]+)\..*$/, '$1.>')}"] }.`;
  return new WatchError('PERMISSION', `NATS does not permit it: ${denied.message}`, {
    solution: `${solution} ${documentation}/reference/nats.md#permissions lists the subjects that a process needs.`,
    cause: denied,
  });
}

/** By its name: the connection may be of another copy of the client. The client wraps it where it belongs to a request. */
export function isDenial(error: unknown): error is PermissionViolationError {
  return error instanceof Error && error.name === 'PermissionViolationError';
}
