export { type AnySubscription, type Authorize, onlyOwn, type Subscription } from './authorize.ts';
export { toNodeHandler } from './node.ts';
export type { SseOptions } from './options.ts';
export { sse } from './sse.ts';
