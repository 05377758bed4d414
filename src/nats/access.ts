import { jetstream, type JetStreamClient, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { createInbox, type NatsConnection } from '@nats-io/transport-node';

/** A connection, and how to reach JetStream over it. */
export interface JetStreamAccess {
  readonly connection: NatsConnection;
  readonly domain?: string | undefined;
  readonly apiPrefix?: string | undefined;
}

export function managerOf(access: JetStreamAccess): Promise<JetStreamManager> {
  return jetstreamManager(access.connection, { ...placeOf(access), checkAPI: false });
}

export function clientOf(access: JetStreamAccess): JetStreamClient {
  return jetstream(access.connection, placeOf(access));
}

/** The prefix of the subjects of JetStream's API. */
export function apiPrefixOf({ domain, apiPrefix }: JetStreamAccess): string {
  if (apiPrefix !== undefined) return apiPrefix;
  return domain === undefined ? '$JS.API' : `$JS.${domain}.API`;
}

/** A subject for answers, under the inbox prefix of the connection: the user may be allowed no other. */
export function inboxOf(connection: NatsConnection): string {
  return createInbox((connection as { readonly options?: { readonly inboxPrefix?: string } }).options?.inboxPrefix);
}

function placeOf({ domain, apiPrefix }: JetStreamAccess) {
  return { ...(domain !== undefined && { domain }), ...(apiPrefix !== undefined && { apiPrefix }) };
}
