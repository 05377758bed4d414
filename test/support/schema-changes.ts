/** Tables whose schema changes while a watch streams. */
import type { SlotWatch, WatchError } from '../../src/index.ts';
import type { Database } from './database.ts';

let number = 0;

/** Creates `(id int primary key, a text, b int, spare int)`. Returns its name. */
export async function newTable(db: Pick<Database, 'sql'>): Promise<string> {
  const name = `changing_${++number}`;
  await db.sql(`create table ${name} (id int primary key, a text, b int, spare int)`);
  return name;
}

/** Subscribes to watchers. Returns their events, with the names of absent values, and the warnings. */
export function record(watch: SlotWatch<any>, ...watchers: string[]) {
  const events: unknown[] = [];
  const warnings: WatchError[] = [];
  watch.on('warning', (warning) => warnings.push(warning));
  const handler: any = (event: object, { absent }: { absent: unknown[] }) =>
    void events.push(absent.length > 0 ? [event, absent] : event);
  for (const watcher of watchers) watch.subscribe(watcher, handler);
  return { events, warnings };
}
