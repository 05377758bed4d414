/** Replica identities that setup changes, and teardown takes back. */
import type { Client } from 'pg';
import { quoteIdentifier, quoteTable, type Server } from '../postgres/server.ts';
import type { ReplicaIdentity, Table } from '../postgres/tables.ts';
import type { ConfigurationIssue } from '../errors.ts';
import { alterIdentity, bindWatchers } from '../watchers/bind.ts';
import type { Watcher } from '../watchers/validate.ts';

export interface IdentityChange {
  readonly table: Table;
  /** The table as it will be. */
  readonly altered: Table;
  readonly to: 'default' | 'full';
  readonly statement: string;
}

/**
 * For each table the least identity that gives all its watchers what they need; `unsolved`: none does. `filtered`: columns
 * of row filters, by table, that the identity has to hold.
 */
export function identityChanges(
  watchers: readonly Watcher[],
  tables: readonly Table[],
  server: Pick<Server, 'major'>,
  filtered: ReadonlyMap<number, readonly string[]> = new Map(),
): { changes: IdentityChange[]; unsolved: ConfigurationIssue[] } {
  const changes: IdentityChange[] = [];
  const unsolved: ConfigurationIssue[] = [];
  for (const table of tables) {
    const names = watchers
      .filter((watcher) => watcher.table.schema === table.schema && watcher.table.name === table.name)
      .map(({ name }) => name);
    const lacking = (candidate: Table) =>
      bindWatchers(
        watchers,
        tables.map((one) => (one === table ? candidate : one)),
        server,
      ).identity.filter(({ watcher }) => watcher !== undefined && names.includes(watcher));
    const suffices = (candidate: Table) =>
      lacking(candidate).length === 0 &&
      (filtered.get(table.oid) ?? []).every((column) => candidate.identityColumns.has(column));
    if (suffices(table)) continue;
    const to = (['default', 'full'] as const).find((identity) => suffices(withIdentity(table, identity)));
    if (to) changes.push({ table, altered: withIdentity(table, to), to, statement: alterIdentity(table, to) });
    else unsolved.push(...lacking(table));
  }
  return { changes, unsolved };
}

/** The table as it will be. */
function withIdentity(table: Table, identity: 'default' | 'full'): Table {
  const key = table.primaryKey ?? [];
  // PostgreSQL takes a deferrable key for none.
  const immediate = table.uniqueKeys.some((unique) => unique.join('\0') === key.join('\0'));
  const all = table.columns.map(({ name }) => name);
  const columns = new Set(identity === 'full' ? all : immediate ? key : []);
  return {
    ...table,
    replicaIdentity: identity,
    leaves: table.leaves.map((leaf) => ({ ...leaf, replicaIdentity: identity })),
    identityColumns: columns,
    identityUnion: columns,
  };
}

/** What a table had before setup changed it. */
export interface FormerIdentity {
  readonly schema: string;
  readonly name: string;
  readonly was: ReplicaIdentity;
  /** Of the identity `index`. */
  readonly index?: string;
  readonly now: 'default' | 'full';
}

export async function formerIdentities(client: Client, changes: readonly IdentityChange[]): Promise<FormerIdentity[]> {
  const all = changes.flatMap(({ table, to }) =>
    [table, ...table.leaves].filter((one) => one.replicaIdentity !== to).map((one) => ({ ...one, to })),
  );
  const { rows } = await client.query<{ oid: number; name: string }>(
    `select i.indrelid as oid, c.relname as name from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
     where i.indisreplident and i.indrelid = any ($1::pg_catalog.oid[])`,
    [all.map(({ oid }) => oid)],
  );
  return all.map(({ oid, schema, name, replicaIdentity: was, to: now }) => {
    const index = was === 'index' ? rows.find((row) => row.oid === oid)?.name : undefined;
    return { schema, name, was, ...(index !== undefined && { index }), now };
  });
}

/** Kept in the publication's comment, beside the markers, so that it goes with the publication. */
const label = 'walwatch setup: ';

export function recordedIdentities(comment: string | null): FormerIdentity[] {
  const line = (comment ?? '').split('\n').find((one) => one.startsWith(label));
  if (line === undefined) return [];
  try {
    const { replicaIdentities } = JSON.parse(line.slice(label.length)) as { replicaIdentities?: unknown };
    return Array.isArray(replicaIdentities) ? replicaIdentities.filter(isFormerIdentity) : [];
  } catch {
    return []; // somebody else's line
  }
}

/** The first state of a table stands: later ones are setup's own. */
export function withIdentities(comment: string | null, changed: readonly FormerIdentity[]): string | null {
  if (changed.length === 0) return comment;
  const known = recordedIdentities(comment);
  const same = (a: FormerIdentity, b: FormerIdentity) => a.schema === b.schema && a.name === b.name;
  const updated = known.map((one) => ({ ...one, now: changed.find((other) => same(one, other))?.now ?? one.now }));
  const added = changed.filter((one) => !known.some((other) => same(one, other)));
  const lines = (comment ?? '').split('\n').filter((line) => line !== '' && !line.startsWith(label));
  return [...lines, label + JSON.stringify({ replicaIdentities: [...updated, ...added] })].join('\n');
}

const identities: readonly unknown[] = ['default', 'full', 'index', 'nothing'];

function isFormerIdentity(value: unknown): value is FormerIdentity {
  const one = value as Partial<FormerIdentity> | null;
  return (
    typeof one?.schema === 'string' &&
    typeof one.name === 'string' &&
    identities.includes(one.was) &&
    identities.includes(one.now) &&
    (one.was === 'index' ? typeof one.index === 'string' : true)
  );
}

/** For those that are still as setup left them, and that no other publication carries. */
export async function restoreIdentities(
  client: Client,
  recorded: readonly FormerIdentity[],
  publication: string,
): Promise<string[]> {
  const { rows } = await client.query<{ schema: string; name: string }>(
    `select n.nspname as schema, c.relname as name
     from unnest($1::text[], $2::text[], $3::text[]) w(schema, name, identity)
     join pg_catalog.pg_namespace n on n.nspname = w.schema
     join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name and c.relreplident::text = w.identity
     where not exists (select from pg_catalog.pg_publication p, lateral pg_catalog.pg_get_publication_tables(p.pubname) t
                       where p.pubname <> $4 and t.relid in (select c.oid union select a.relid from pg_catalog.pg_partition_ancestors(c.oid) a))`,
    [
      recorded.map(({ schema }) => schema),
      recorded.map(({ name }) => name),
      recorded.map(({ now }) => now[0]),
      publication,
    ],
  );
  return recorded
    .filter((one) => rows.some(({ schema, name }) => schema === one.schema && name === one.name))
    .map((one) => {
      const identity = one.was === 'index' ? `USING INDEX ${quoteIdentifier(one.index!)}` : one.was.toUpperCase();
      return `ALTER TABLE ${quoteTable(one)} REPLICA IDENTITY ${identity};`;
    });
}
