import { pino } from 'pino';
import { createWatch, type SlotWatch } from 'walwatch';
import { watchers } from './watchers.ts';

const kept = globalThis as { walwatch?: SlotWatch<typeof watchers> };

/**
 * One for the process: Next bundles instrumentation and routes apart, and `next dev` loads modules again and again. Made when it is
 * first asked for, because `next build` loads modules without a database. `instrumentation.ts` starts it.
 */
export const getWatch = () => (kept.walwatch ??= createWatch({ slot: 'sse_next', watchers, logger: pino() })); // DATABASE_URL
