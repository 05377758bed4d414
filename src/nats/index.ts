export type { NatsOptions } from './options.ts';
export { relay, type RelayOptions } from './relay.ts';
export { createRemoteWatch, type RemoteWatchOptions } from './remote-watch.ts';
export type { StreamLimits } from './stream.ts';
