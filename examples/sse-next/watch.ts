import { createWatch, defineWatchers, type SlotWatch } from 'walwatch';

interface DB {
  users: { id: number; name: string; role_id: number };
}

export const watchers = defineWatchers<DB>()([['users', 'updated', { extraColumns: ['name', 'role_id'] }]]);

const kept = globalThis as { walwatch?: SlotWatch<typeof watchers> };

/** One for the process: `next dev` loads modules again and again. Started in `instrumentation.ts`. */
export const watch = (kept.walwatch ??= createWatch({ slot: 'sse_next', watchers })); // DATABASE_URL
