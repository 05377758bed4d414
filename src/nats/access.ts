import { jetstream, type JetStreamClient, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { createInbox, type NatsConnection } from '@nats-io/transport-node';

/** A connection, and where JetStream is on it. */
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

/** What the subjects of JetStream's API begin with. */
export function apiPrefixOf({ domain, apiPrefix }: JetStreamAccess): string {
  if (apiPrefix !== undefined) return apiPrefix;
  return domain === undefined ? '$JS.API' : `$JS.${domain}.API`;
}

/** A subject for answers, where the user of the connection may have them. */
export function inboxOf(connection: NatsConnection): string {
  return createInbox((connection as { readonly options?: { readonly inboxPrefix?: string } }).options?.inboxPrefix);
}

function placeOf({ domain, apiPrefix }: JetStreamAccess) {
  return { ...(domain !== undefined && { domain }), ...(apiPrefix !== undefined && { apiPrefix }) };
}
