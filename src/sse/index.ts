export { toNodeHandler } from './node.ts';
export { sse, type SseOptions } from './sse.ts';
