import { createWatch, type SlotWatch } from 'walwatch';
import { watchers } from './watchers.ts';

const kept = globalThis as { walwatch?: SlotWatch<typeof watchers> };

/** One for the process: `next dev` loads modules again and again. Started in `instrumentation.ts`. */
export const watch = (kept.walwatch ??= createWatch({ slot: 'sse_next', watchers })); // DATABASE_URL
