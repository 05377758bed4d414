import { pino } from 'pino';
import { createWatch, type SlotWatch } from 'walwatch';
import { watchers } from './watchers.ts';

const kept = globalThis as { walwatch?: SlotWatch<typeof watchers> };

/**
 * One watch for the process, although Next bundles instrumentation and routes separately and `next dev` reloads modules. Created on
 * first use, because `next build` loads modules without a database. `instrumentation.ts` starts it.
 */
export const getWatch = () => (kept.walwatch ??= createWatch({ slot: 'sse_next', watchers, logger: pino() })); // DATABASE_URL
