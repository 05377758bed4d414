import type { NatsConnection } from '@nats-io/transport-node';
import type { ConfigurationIssue } from '../errors.ts';

/** What both ends of a stream need. */
export interface NatsOptions {
  /** `@nats-io/transport-node`'s NatsConnection. Make it with `maxReconnectAttempts: -1`; it stays yours to close. */
  readonly connection: object;
  /** The stream's name: one stream for one slot. */
  readonly stream: string;
}

/** What is wrong with them. */
export function natsIssues({ connection, stream }: NatsOptions): ConfigurationIssue[] {
  const issues: ConfigurationIssue[] = [];
  const methods = ['publish', 'subscribe', 'status', 'closed'] as const;
  if (
    !methods.every((name) => typeof (connection as Partial<NatsConnection> | null | undefined)?.[name] === 'function')
  ) {
    issues.push({
      message: 'connection is no NatsConnection',
      solution: "await connect({ servers, maxReconnectAttempts: -1 }) of '@nats-io/transport-node'",
    });
  }
  // https://docs.nats.io/nats-concepts/jetstream/streams: no white space, dots, wildcards or path separators
  if (typeof stream !== 'string' || !/^[^\s.*>/\\]{1,255}$/.test(stream)) {
    issues.push({
      message: `${JSON.stringify(stream)} is no name for a stream`,
      solution: "Letters, digits, '-' and '_': stream: 'accounts'.",
    });
  }
  return issues;
}
