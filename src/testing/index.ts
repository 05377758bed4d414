export { createTestWatch } from './create-test-watch.ts';
export type { ChangeOptions, DeliverOptions, TestChange, TestWatch, TestWatchOptions } from '../types/testing.ts';
