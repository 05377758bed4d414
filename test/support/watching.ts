/** Watches of a test: stopped, and their slots and publications dropped, when it has finished. */
import { onTestFinished } from 'vitest';
import { compareLsn, createWatch, type SlotWatch, type WatchOptions, type Watchers } from '../../src/index.ts';
import type { Database } from './database.ts';
import { until } from './until.ts';

let made = 0;

/** A slot name that no other test uses. */
export function slotName(): string {
  return `test_${process.pid}_${++made}`;
}

/** Drops slot and publication of this name, once their watch has stopped. */
export async function dropSlotAndPublication(db: Pick<Database, 'sql' | 'dropSlot'>, name: string): Promise<void> {
  // A temporary one goes with its session, perhaps between our two queries.
  const [slot] = await db.sql('select from pg_replication_slots where slot_name = $1 and not temporary', [name]);
  if (slot) await db.dropSlot(name);
  await db.sql(`drop publication if exists "${name}"`);
}

/** The name of a slot that is dropped, with its publication, when the test has finished. */
export function nameOn(db: Pick<Database, 'sql' | 'dropSlot'>): string {
  const name = slotName();
  onTestFinished(() => dropSlotAndPublication(db, name));
  return name;
}

/** Whether slot and publication of this name exist. */
export const existingOf = async (db: Pick<Database, 'sql'>, name: string) => ({
  slot: (await db.sql('select from pg_replication_slots where slot_name = $1', [name])).length === 1,
  publication: (await db.sql('select from pg_publication where pubname = $1', [name])).length === 1,
});

/** Creates watches on the database, each with its own slot unless the test names one. */
export function watchOn(db: Pick<Database, 'url' | 'sql' | 'dropSlot'>) {
  const watches = new Set<SlotWatch<any>>();
  return <W extends Watchers>(watchers: W, options: Partial<WatchOptions<W>> = {}): SlotWatch<W> => {
    const slot = options.slot ?? slotName();
    const watch = createWatch<W>({ connection: db.url, slot, watchers, ...options } as WatchOptions<W>);
    watches.add(watch);
    onTestFinished(async () => {
      // All of them first: several may be workers on one slot.
      await Promise.all([...watches].map((one) => one.stop()));
      watches.delete(watch);
      await dropSlotAndPublication(db, watch.status().slot);
    });
    return watch;
  };
}

/** Resolves when the watch has handled and acknowledged everything committed before the call. */
export async function settled(db: Pick<Database, 'sql'>, watch: SlotWatch<any>): Promise<void> {
  const [end] = await db.sql<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn');
  // A write that no watcher needs moves the server's position past it.
  await db.sql(`select pg_logical_emit_message(false, 'test', '')`);
  const { slot } = watch.status();
  await until(
    async () => {
      const [row] = await db.sql<{ done: boolean }>(
        'select confirmed_flush_lsn >= $1::pg_lsn as done from pg_replication_slots where slot_name = $2',
        [end!.lsn, slot],
      );
      return row?.done === true;
    },
    {
      describe: () => `all until ${end!.lsn} to be acknowledged; status: ${JSON.stringify(watch.status())}`,
    },
  );
}

/** Whether the transaction of an event is acknowledged. An idle slot moves anyway, so a position that stays proves nothing. */
export function isAcknowledged(watch: SlotWatch<any>, eventId: string): boolean {
  const commitLsn = eventId.slice(0, eventId.lastIndexOf('/'));
  return compareLsn(watch.status().confirmedLsn ?? '0/0', commitLsn) > 0;
}
