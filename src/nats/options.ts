import type { NatsConnection } from '@nats-io/transport-node';
import { type ConfigurationIssue, shown } from '../errors.ts';
import type { JetStreamAccess } from './access.ts';

/** What both ends of a stream need. */
export interface NatsOptions {
  /** `@nats-io/transport-node`'s NatsConnection. Make it with `maxReconnectAttempts: -1`; it stays yours to close. */
  readonly connection: object;
  /** The stream's name: one stream for one slot. */
  readonly stream: string;
  /** The JetStream domain of the stream, if it is not that of the server that the connection leads to. */
  readonly domain?: string;
  /** What the subjects of JetStream's API begin with, if the account imports it under other ones. Default: `$JS.API`. */
  readonly apiPrefix?: string;
}

export const natsOptionNames = ['connection', 'stream', 'domain', 'apiPrefix'] as const;

/** What is wrong with them. */
export function natsIssues({ connection, stream, domain, apiPrefix }: NatsOptions): ConfigurationIssue[] {
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
  if (domain !== undefined && !(typeof domain === 'string' && /^[^\s.*>]+$/.test(domain)))
    issues.push({ message: `domain is ${shown(domain)}`, solution: "A JetStream domain: domain: 'hub'." });
  if (apiPrefix !== undefined && !(typeof apiPrefix === 'string' && /^[^\s.*>]+(\.[^\s.*>]+)*$/.test(apiPrefix)))
    issues.push({
      message: `apiPrefix is ${shown(apiPrefix)}`,
      solution: "A subject without wildcards and without a dot at its end: apiPrefix: 'JS.accounts.API'.",
    });
  if (domain !== undefined && apiPrefix !== undefined)
    issues.push({ message: 'domain and apiPrefix exclude each other', solution: 'Give one of them.' });
  return issues;
}

export function accessOf({ connection, domain, apiPrefix }: NatsOptions): JetStreamAccess {
  return { connection: connection as NatsConnection, domain, apiPrefix };
}
