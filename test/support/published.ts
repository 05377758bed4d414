/** What a slot sends, read with SQL and without walwatch: logical messages, inserts and the ends of transactions. */
import type { Database } from './database.ts';

/** `'insert'`, `'commit'`, or a logical message. */
export type Published = 'insert' | 'commit' | { readonly prefix: string; readonly content: Buffer };

/** Creates the slot and a publication of the same name for all tables. Both go with the database. */
export async function publish(db: Pick<Database, 'sql'>, slot: string): Promise<void> {
  await db.sql(`create publication "${slot}" for all tables`);
  await db.sql(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
}

/** Everything that was committed since the last call. */
export async function published(db: Pick<Database, 'sql'>, slot: string): Promise<Published[]> {
  const rows = await db.sql<{ data: Buffer }>(
    `select data from pg_logical_slot_get_binary_changes($1, null, null, 'proto_version', '1', 'publication_names', $2, 'messages', 'true')`,
    [slot, `"${slot}"`],
  );
  return rows.flatMap(({ data }) => {
    switch (String.fromCharCode(data[0]!)) {
      case 'I':
        return 'insert';
      case 'C':
        return 'commit';
      case 'M': {
        // Tag, flags, position, prefix with a final NUL, length.
        const end = data.indexOf(0, 10);
        return { prefix: data.toString('utf8', 10, end), content: data.subarray(end + 5) };
      }
      default:
        return [];
    }
  });
}
