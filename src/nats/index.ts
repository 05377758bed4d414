export type { NatsOptions } from './options.ts';
export { relay } from './relay.ts';
export { createRemoteWatch, type RemoteWatchOptions } from './remote-watch.ts';
