import type { NatsConnection } from '@nats-io/transport-node';
import { type ConfigurationIssue, shown } from '../errors.ts';
import type { JetStreamAccess } from './access.ts';

/** Options of both `relay` and `createRemoteWatch`. */
export interface NatsOptions {
  /** A NatsConnection of `@nats-io/transport-node`. Open it with `maxReconnectAttempts: -1`. walwatch does not close it. */
  readonly connection: object;
  /** The stream's name: one stream for one slot. */
  readonly stream: string;
  /** The JetStream domain of the stream, if it is not the domain of the server that you connect to. */
  readonly domain?: string;
  /** The prefix of the subjects of JetStream's API, if the account imports it under another one. Default: `$JS.API`. */
  readonly apiPrefix?: string;
}

export const natsOptionNames = ['connection', 'stream', 'domain', 'apiPrefix'] as const;

/** Returns every problem of the options. */
export function natsIssues({ connection, stream, domain, apiPrefix }: NatsOptions): ConfigurationIssue[] {
  const issues: ConfigurationIssue[] = [];
  const methods = ['publish', 'subscribe', 'status', 'closed'] as const;
  if (
    !methods.every((name) => typeof (connection as Partial<NatsConnection> | null | undefined)?.[name] === 'function')
  ) {
    issues.push({
      message: 'connection is not a NatsConnection',
      solution: "Pass await connect({ servers, maxReconnectAttempts: -1 }) from '@nats-io/transport-node'.",
    });
  }
  // https://docs.nats.io/nats-concepts/jetstream/streams: no white space, dots, wildcards or path separators
  if (typeof stream !== 'string' || !/^[^\s.*>/\\]{1,255}$/.test(stream)) {
    issues.push({
      message: `stream is ${JSON.stringify(stream)}, which is not a valid stream name`,
      solution: "Use letters, digits, '-' and '_': stream: 'accounts'.",
    });
  }
  if (domain !== undefined && !(typeof domain === 'string' && /^[^\s.*>]+$/.test(domain)))
    issues.push({
      message: `domain is ${shown(domain)}`,
      solution: "Use the name of a JetStream domain: domain: 'hub'.",
    });
  if (apiPrefix !== undefined && !(typeof apiPrefix === 'string' && /^[^\s.*>]+(\.[^\s.*>]+)*$/.test(apiPrefix)))
    issues.push({
      message: `apiPrefix is ${shown(apiPrefix)}`,
      solution: "Use a subject without wildcards that does not end with a dot: apiPrefix: 'JS.accounts.API'.",
    });
  if (domain !== undefined && apiPrefix !== undefined)
    issues.push({ message: 'domain and apiPrefix cannot be used together', solution: 'Use only one of them.' });
  return issues;
}

export function accessOf({ connection, domain, apiPrefix }: NatsOptions): JetStreamAccess {
  return { connection: connection as NatsConnection, domain, apiPrefix };
}
