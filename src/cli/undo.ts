import type { Client } from 'pg';
import { quoteIdentifier, quoteTable, type Server } from '../postgres/server.ts';
import { parseComment } from '../setup/marker.ts';
import { alterPublication, type Publication } from '../setup/publication.ts';
import { readSlot } from '../setup/slot.ts';
import type { IdentityChange } from './replica-identity.ts';

/** The replica identity that a table had before setup. */
interface Former {
  /** The OID of the table, or of its partitioned table. */
  readonly root: number;
  /** Whether it had no identity: PostgreSQL refuses updates and deletes of such a table if it is published. */
  readonly none: boolean;
  /** The statement that restores it. */
  readonly statement: string;
}

/** Reads the identities before setup changes them, because PostgreSQL does not remember the former index. */
export async function readFormer(client: Client, changes: readonly IdentityChange[]): Promise<Former[]> {
  const roots = new Map(
    changes.flatMap(({ table, to }) =>
      [table, ...table.leaves].filter((one) => one.replicaIdentity !== to).map((one) => [one.oid, table.oid] as const),
    ),
  );
  const { rows } = await client.query<{ oid: number; schema: string; name: string; identity: string; index: string | null }>(
    `select c.oid, n.nspname as schema, c.relname as name, c.relreplident as identity, i.relname as index
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          left join pg_catalog.pg_index x on x.indrelid = c.oid and x.indisreplident
          left join pg_catalog.pg_class i on i.oid = x.indexrelid
     where c.oid = any ($1::pg_catalog.oid[])`,
    [[...roots.keys()]],
  ); // prettier-ignore
  return rows.map(({ oid, identity, index, ...table }) => {
    const former = { d: 'DEFAULT', f: 'FULL', i: index && `USING INDEX ${quoteIdentifier(index)}` }[identity];
    const change = changes.find((one) => one.table.oid === roots.get(oid))!;
    return {
      root: change.table.oid,
      none: !former || (identity === 'd' && !change.table.primaryKey),
      statement: `ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY ${former || 'NOTHING'}`,
    };
  });
}

/**
 * Undoes the changes of a failed setup, such as one that timed out on an open transaction. Returns the statements that it did
 * not run, because they failed or would make PostgreSQL refuse the application's writes.
 */
export async function undo(
  client: Client,
  server: Pick<Server, 'major'>,
  { slot, publication, existed }: { readonly slot: string; readonly publication: string; readonly existed: boolean },
  formers: readonly Former[],
): Promise<readonly string[]> {
  let left = formers;
  const decide = (current: Publication | undefined): string[] => {
    const made = !existed && current !== undefined;
    // A worker has started with it in the meantime.
    if (made && parseComment(current.comment).markers.length > 0) return [];
    const filtered = new Set(
      made ? [] : current?.listed.filter(({ where }) => where !== undefined).map(({ oid }) => oid),
    );
    const safe = formers.filter(({ root, none }) => made || !current || !(none || filtered.has(root)));
    const drop = made ? [`DROP PUBLICATION ${quoteIdentifier(publication)}`] : [];
    left = formers.filter((one) => !safe.includes(one));
    return [...drop, ...safe.map(({ statement }) => statement)];
  };
  try {
    // With a slot, the publication is in use, or will be when setup is run again.
    if (!(await readSlot(client, slot, server))) await alterPublication(client, publication, server, decide);
  } catch {
    left = formers; // the caller reports the first error, which is more important
  }
  return left.map(({ statement }) => `${statement};`);
}
