/** What the tests of setup and teardown share. */
import { expect, onTestFinished } from 'vitest';
import { compareLsn, defineWatchers } from '../../src/index.ts';
import { folder } from './cli.ts';
import type { useDatabase } from './database.ts';
import { dropSlotAndPublication, slotName } from './watching.ts';

const source = `[
  ['users', 'inserted'],
  ['users', 'updated', { label: 'moved', triggerColumns: ['role_id'] }],
  ['packages', 'deleted'],
]`;
export const watchers = defineWatchers([
  ['users', 'inserted'],
  ['users', 'updated', { label: 'moved', triggerColumns: ['role_id'] }],
  ['packages', 'deleted'],
]);

/** A folder with a configuration file for these watchers. */
export const configured = (slot: string, more = '') =>
  folder({
    'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
      export default defineConfig({ slot: '${slot}', watchers: defineWatchers(${source}), ${more} });`,
  });

export function settingUp(db: ReturnType<typeof useDatabase>) {
  /** A new name for a slot and its publication, which are dropped when the test has finished. */
  function name(): string {
    const made = slotName();
    onTestFinished(() => dropSlotAndPublication(db, made));
    return made;
  }

  const identity = async (table: string) =>
    (await db.sql<{ i: string }>(`select relreplident as i from pg_class where oid = $1::regclass`, [table]))[0]!.i;

  /** Slot, publication and replica identities, without values that differ each time. */
  async function state(slot: string) {
    const [made] = await db.sql(
      `select s.plugin, s.database, s.temporary, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
            (select string_agg(schemaname || '.' || tablename, ' ' order by tablename) from pg_publication_tables where pubname = s.slot_name) as tables,
            obj_description(p.oid, 'pg_publication') as comment, p.oid as publication, s.confirmed_flush_lsn::text as lsn,
            (select oid from pg_database where datname = current_database()) as database_oid
     from pg_replication_slots s join pg_publication p on p.pubname = s.slot_name where s.slot_name = $1`,
      [slot],
    );
    const { comment, publication, lsn, database_oid: databaseOid, ...rest } = made!;
    const line = String(comment)
      .split('\n')
      .find((one) => one.startsWith('walwatch: '))!;
    // A worker that has streamed adds more to the marker.
    const { createdLsn, systemIdentifier, ...marker } = JSON.parse(line.slice('walwatch: '.length));
    expect(marker).toMatchObject({ version: 1, slot, databaseOid, publicationOid: publication });
    expect(createdLsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
    expect(compareLsn(lsn, createdLsn)).toBeGreaterThanOrEqual(0);
    return { ...rest, systemIdentifier, users: await identity('users'), packages: await identity('packages') };
  }

  return { name, identity, state };
}
