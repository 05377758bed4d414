import { JetStreamApiError } from '@nats-io/jetstream';
import { PermissionViolationError } from '@nats-io/transport-node';
import { WatchError } from '../errors.ts';
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
  if (denied) {
    return new WatchError('PERMISSION', `NATS does not permit it: ${denied.message}`, {
      solution: 'docs/nats.md lists the subjects that a process needs.',
      cause,
    });
  }
  const { message } = cause instanceof Error ? cause : { message: String(cause) };
  return new WatchError('CONNECTION', cause instanceof JetStreamApiError ? `JetStream: ${message}` : message, {
    cause,
  });
}

/** The client wraps it where it belongs to a request. */
function isDenial(error: unknown): error is PermissionViolationError {
  return error instanceof PermissionViolationError;
}
