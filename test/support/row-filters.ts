/** Tables and publications with row filters. */
import { expect } from 'vitest';
import type { ConfigurationError, SlotWatch, WatchError } from '../../src/index.ts';
import type { Database } from './database.ts';
import { until } from './until.ts';

let number = 0;

/** With a database: functions that make tables and read the filters of publications. */
export function rowFilters(db: Pick<Database, 'sql'>) {
  async function newTable(identity = 'default'): Promise<string> {
    const name = `filtered_${++number}`;
    await db.sql(`create table ${name} (id int primary key, state text, n int)`);
    await db.sql(`alter table ${name} replica identity ${identity}`);
    return name;
  }

  /** As PostgreSQL writes it; undefined: none. */
  async function filterOf(publication: string, table: string): Promise<string | undefined> {
    const [row] = await db.sql(
      `select pg_get_expr(prqual, prrelid) as filter from pg_publication_rel join pg_publication p on p.oid = prpubid
     where pubname = $1 and prrelid = $2::regclass`,
      [publication, table],
    );
    return row?.['filter'] ?? undefined;
  }

  const filterBecomes = (publication: string, table: string, filter: string | undefined) =>
    until(async () => (await filterOf(publication, table)) === filter, {
      describe: `the filter of ${table} to be ${String(filter)}`,
    });
  return { newTable, filterOf, filterBecomes };
}

/** Subscribes to watchers. Returns their events with the type, and the warnings. */
export function record(watch: SlotWatch<any>, ...watchers: string[]) {
  const events: unknown[] = [];
  const warnings: WatchError[] = [];
  watch.on('warning', (warning) => warnings.push(warning));
  const handler: any = (event: object, { type }: { type: string }) => void events.push([type, event]);
  for (const watcher of watchers) watch.subscribe(watcher, handler);
  return { events, warnings };
}

/** The problems that make start() fail. */
export const problems = async (watch: SlotWatch<any>): Promise<ConfigurationError['issues']> => {
  const error = await watch.start().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: 'CONFIGURATION' });
  return (error as ConfigurationError).issues;
};
