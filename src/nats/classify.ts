import { JetStreamApiError } from '@nats-io/jetstream';
import type { PermissionViolationError } from '@nats-io/transport-node';
import { documentation, WatchError } from '../errors.ts';
import { isMissing } from './stream.ts';

/** Turns an error of NATS into one of walwatch. */
export function classifyNats(cause: unknown, stream: string): WatchError {
  if (cause instanceof WatchError) return cause;
  if (isMissing(cause)) {
    return new WatchError('CONNECTION', `the stream '${stream}' does not exist`, {
      solution: 'walwatch waits for it. The worker creates it when it starts: relay(watch, { connection, stream }).',
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

/** Names the subject and the permission to grant. */
function permissionMissing(denied: PermissionViolationError): WatchError {
  const { operation, subject } = denied;
  const solution =
    operation === 'subscription'
      ? `Grant the user of this connection: permissions: { subscribe: ["${subject.replace(/\.[^.]*(\.\*)*$/, '')}.>"] }. If the user has its own inbox prefix, pass it to connect({ inboxPrefix }).`
      : `Grant the user of this connection: permissions: { publish: ["${subject.replace(/^(walwatch\w*\.[^.]+|\$JS\.ACK\.[^.]+)\..*$/, '$1.>')}"] }.`;
  return new WatchError('PERMISSION', `NATS denied the request: ${denied.message}`, {
    solution: `${solution} ${documentation}/reference/nats.md#permissions lists all subjects that a process needs.`,
    cause: denied,
  });
}

/** Checks the name, not the class: the connection may come from another copy of the NATS client. */
export function isDenial(error: unknown): error is PermissionViolationError {
  return error instanceof Error && error.name === 'PermissionViolationError';
}
