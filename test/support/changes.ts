import { compareLsn, defineWatchers, type EventContext } from '../../src/index.ts';
import type { Database } from './database.ts';
import { settled, watchOn } from './watching.ts';

const types = ['inserted', 'updated', 'deleted', 'truncated'] as const;

/** Creates tables `(id int primary key, v text)` with full identity, and watches all their changes. */
export function streamTables(db: Pick<Database, 'url' | 'sql' | 'dropSlot'>) {
  const watchOf = watchOn(db);
  return async (...tables: string[]) => {
    for (const table of tables) await makeTable(db, table);
    const entries = tables.flatMap((table) =>
      types.map((type) => [table, type, type === 'truncated' ? {} : { extraColumns: ['v'] }] as const),
    );
    const watch = watchOf(defineWatchers(entries));
    const heard: { readonly change: readonly unknown[]; readonly context: EventContext }[] = [];
    for (const [table, type] of entries) {
      watch.subscribe(`${table}:${type}`, (event: any, context: EventContext) => {
        const row = type === 'truncated' ? [] : [event.id, event.v];
        heard.push({ change: [type, ...(tables.length > 1 ? [table] : []), ...row], context });
      });
    }
    await watch.start();
    return {
      heard,
      /** All committed changes, in the order in which they were written, as [type, table if there are several, id, v]. */
      changes: async () => {
        await settled(db, watch);
        // Subscriptions do not wait for each other.
        heard.sort(({ context: a }, { context: b }) => compareLsn(a.commitLsn, b.commitLsn) || a.ordinal - b.ordinal);
        return heard.map(({ change }) => change);
      },
    };
  };
}

export async function makeTable(db: Pick<Database, 'sql'>, name: string): Promise<void> {
  await db.sql(`create table ${name} (id int primary key, v text)`);
  await db.sql(`alter table ${name} replica identity full`);
}
