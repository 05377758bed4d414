/** Tables and publications with column lists. */
import type { SlotWatch, WatchError } from '../../src/index.ts';
import type { Database } from './database.ts';
import { until } from './until.ts';

let number = 0;

/** With a database: functions that make tables and read the column lists of publications. */
export function columnListsOf(db: Pick<Database, 'sql'>) {
  async function newTable(columns = 'a text, b int, c text, spare text'): Promise<string> {
    const name = `listed_${++number}`;
    await db.sql(`create table ${name} (id int primary key, ${columns})`);
    return name;
  }

  /** Undefined: all columns. */
  async function listOf(publication: string, table: string): Promise<string[] | undefined | 'not there'> {
    const [row] = await db.sql(
      `select (select json_agg(attname order by attnum) from pg_attribute
             where attrelid = prrelid and attnum = any(prattrs::int2[])) as columns
     from pg_publication_rel join pg_publication p on p.oid = prpubid where pubname = $1 and prrelid = $2::regclass`,
      [publication, table],
    );
    return row ? (row['columns'] ?? undefined) : 'not there';
  }

  const listBecomes = (publication: string, table: string, columns: string[] | undefined) =>
    until(async () => String(await listOf(publication, table)) === String(columns), {
      describe: `the column list of ${table} to be ${String(columns)}`,
    });
  return { newTable, listOf, listBecomes };
}

/** Subscribes to watchers. Returns their events with type and old values, and the warnings. */
export function record(watch: SlotWatch<any>, ...watchers: string[]) {
  const events: unknown[] = [];
  const warnings: WatchError[] = [];
  watch.on('warning', (warning) => warnings.push(warning));
  const handler: any = (event: object, { type, previous, absent }: any) =>
    void events.push([type, event, previous, ...(absent.length > 0 ? [absent] : [])]);
  for (const watcher of watchers) watch.subscribe(watcher, handler);
  return { events, warnings };
}
