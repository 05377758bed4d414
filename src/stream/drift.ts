/** Compares the database with its state when streaming began, for differences the replication stream does not report. Pure. */
import { quoteIdentifier, quoteTable } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';
import { WatchError } from '../errors.ts';
import { fallenOut, type ListedTable, type Publication, type PublicationNeeds } from '../setup/publication.ts';
import { completePublication, script } from '../setup/publication-sql.ts';
import { only, type PushedDown } from '../setup/pushed-down.ts';
import { type BoundWatcher, bindWatchers } from '../watchers/bind.ts';
import { refusals, type Seen } from './refusals.ts';

interface Named {
  readonly schema: string;
  readonly name: string;
}

/** Tables and replica identities that no longer match the watchers. */
export function drift(needs: PublicationNeeds, bound: readonly BoundWatcher[], found: Seen): WatchError[] {
  const refused = refusals(needs, found);
  // A refusal already contains the SQL that repairs the table.
  const others = bound.filter(({ watcher: { table } }) => !refused.some((one) => isNamed(one.table, table)));
  return [...lostTables(needs, found), ...refused.map(({ error }) => error), ...misfits(others, found)];
}

const isNamed = (table: Named, other: Named) => table.schema === other.schema && table.name === other.name;

/** Tables whose changes the publication no longer sends under their own name, with the reason. */
function lostTables({ name, tables, pushedDown }: PublicationNeeds, found: Seen): WatchError[] {
  return tables.flatMap((table) => {
    const now = tableNow(table, found);
    if (now && isCarried(now, found)) return [];
    const above = now && ancestorsOf(now, found);
    return above ? underAnother(name, now, above) : fallenOut(name, table, now?.oid, pushedDown.get(table.oid));
  });
}

function tableNow(table: Named, { tables }: Seen): Table | undefined {
  return tables.find((one) => isNamed(one, table));
}

/** Without publish_via_partition_root a partitioned table is not sent under its own name; `changedPublication` reports that. */
function isCarried(table: Table, { publication }: Seen): boolean {
  return publication.carried.has(quoteTable(table)) || (table.kind === 'p' && !publication.viaRoot);
}

/** The partitioned tables that the publication lists instead of one of their partitions. */
function ancestorsOf({ ancestors }: Table, { publication }: Seen): readonly ListedTable[] | undefined {
  const listed = publication.listed.filter(({ oid }) => ancestors.includes(oid));
  return listed.length > 0 ? listed : undefined;
}

function underAnother(publication: string, table: Table, above: readonly ListedTable[]): WatchError {
  const names = above.map(quoteTable).join(', ');
  return new WatchError(
    'PUBLICATION_CHANGED',
    `the publication '${publication}' sends changes of ${quoteTable(table)} under the name of ${names}, whose partition it is`,
    {
      solution: `Watch ${names} instead. Or: ALTER PUBLICATION ${quoteIdentifier(publication)} DROP TABLE ${above.map(only).join(', ')};`,
    },
  );
}

/** What the publication no longer sends, although watchers need it. PostgreSQL raises no error for it. Undefined: nothing. */
export function changedPublication(needs: PublicationNeeds, found: Seen): WatchError | undefined {
  const needed = needsNow(needs, found);
  const statements = completePublication(needed, found.publication);
  if (statements.length === 0) return undefined;
  return new WatchError(
    'PUBLICATION_CHANGED',
    `the publication '${needs.name}' was changed and does not send what the watchers need: ${differences(needed, found.publication).join('; ')}`,
    {
      solution:
        `What it leaves out is missed until it is repaired. Run: ${script(statements)} ` +
        `(With manage: 'create', a worker repairs it at its next start, if walwatch made it.) Then update everything that depends on the events.`,
    },
  );
}

/** The same needs for the tables as they are now. Lost tables and lost columns have their own reports. */
function needsNow(needs: PublicationNeeds, found: Seen): PublicationNeeds {
  const pushedDown = new Map<number, PushedDown>();
  const tables = needs.tables.flatMap((table) => {
    const now = tableNow(table, found);
    if (!now || !isCarried(now, found)) return [];
    const entry = needs.pushedDown.get(table.oid);
    const needed = entry?.needed.filter((column) => now.columns.some(({ name }) => name === column));
    if (entry && needed) pushedDown.set(now.oid, { ...entry, needed });
    return [now];
  });
  return { ...needs, tables, pushedDown };
}

function differences(needs: PublicationNeeds, publication: Publication): string[] {
  const missing = [...needs.operations].filter((operation) => !publication.operations.has(operation));
  const rooted = needs.tables.some((table) => table.kind === 'p' || table.ancestors.length > 0);
  const list: string[] = [];
  if (missing.length > 0) list.push(`it does not publish ${missing.join(', ')}`);
  if (rooted && !publication.viaRoot) list.push('publish_via_partition_root is off');
  if (needs.generatedColumns && !publication.generatedColumns) list.push('publish_generated_columns is off');
  for (const table of needs.tables) {
    const listed = publication.listed.find(({ oid }) => oid === table.oid);
    const expected = needs.pushedDown.get(table.oid);
    if (!listed || !expected) continue;
    const absent = listed.columns && expected.needed.filter((column) => !listed.columns!.includes(column));
    if (absent && absent.length > 0)
      list.push(`the column list of ${quoteTable(table)} lacks ${absent.map((column) => `'${column}'`).join(', ')}`);
    if (listed.where !== expected.where)
      list.push(`the row filter of ${quoteTable(table)} is ${filter(listed.where)}, not ${filter(expected.where)}`);
  }
  return list;
}

const filter = (where: string | undefined): string => (where === undefined ? 'none' : `WHERE ${where}`);

/** Tables that no longer fit their watchers. The stream would report them only at their next change, perhaps days later. */
function misfits(bound: readonly BoundWatcher[], { tables, server }: Seen): WatchError[] {
  const there = bound.map(({ watcher }) => watcher).filter(({ table }) => tables.some((one) => isNamed(one, table)));
  const { issues, identity } = bindWatchers(there, tables, server);
  return [
    ...issues.map(
      ({ message, solution = '' }) =>
        new WatchError('SCHEMA_CHANGED', `a table was changed and no longer fits its watcher: ${message}`, {
          solution:
            `The watch ends at the next change of this table. Undo the change, or deploy watchers that fit. ${solution}`.trim(),
        }),
    ),
    ...identity.map(({ message, solution }) => new WatchError('REPLICA_IDENTITY', message, { solution })),
  ];
}
