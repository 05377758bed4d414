import { quoteIdentifier, quoteTable } from '../postgres/server.ts';
import type { ListedTable, Operation, Publication, PublicationNeeds } from './publication.ts';
import { addition, type Entry, only, type PushedDown } from './pushed-down.ts';

export function createPublication(needs: PublicationNeeds): string {
  const { name, tables, operations, generatedColumns, pushedDown } = needs;
  const added = tables.map((table) => addition(table, pushedDown.get(table.oid)));
  const list = added.length === 0 ? '' : ` FOR TABLE ${added.join(', ')}`;
  return `CREATE PUBLICATION ${quoteIdentifier(name)}${list} WITH (${optionList(operations, generatedColumns)})`;
}

/**
 * Statements that add missing tables, operations and columns before changes are read. Empty: nothing is missing. Another worker may still have the slot, so
 * its columns stay in the lists, and its row filters stay as they are.
 */
export function widenPublication(needs: PublicationNeeds, publication: Publication): string[] {
  const operations = bothOperations(needs, publication);
  return [
    ...widenOptions(needs, publication),
    ...relist(needs, publication, (listed) => {
      const wanted = needs.pushedDown.get(listed.oid);
      const columns = wanted ? bothColumns(listed, wanted) : listed.columns;
      return { columns, where: isRefused(listed, operations) ? undefined : listed.where };
    }),
    ...addMissing(needs, publication, operations),
  ];
}

/** Statements that are safe if others read the publication: they do not change what the readers get of the tables they have. */
export function extendPublication(needs: PublicationNeeds, publication: Publication): string[] {
  return addMissing(needs, publication, needs.operations);
}

/** Statements that add what a publication of someone else lacks. It may carry more columns than needed, but a row filter must be the watchers' own. */
export function completePublication(needs: PublicationNeeds, publication: Publication): string[] {
  return [
    ...widenOptions(needs, publication),
    ...relist(needs, publication, (listed) => {
      const wanted = needs.pushedDown.get(listed.oid);
      if (!wanted) return listed;
      const covered = wanted.needed.every((column) => listed.columns?.includes(column) ?? true);
      return { columns: covered ? listed.columns : bothColumns(listed, wanted), where: wanted.where };
    }),
    ...addMissing(needs, publication, needs.operations),
  ];
}

/** Statements that remove unneeded parts. Only the worker that has the slot may run them. */
export function narrowPublication(needs: PublicationNeeds, publication: Publication): string[] {
  const { name, operations } = needs;
  const statements: string[] = [];
  const alter = `ALTER PUBLICATION ${quoteIdentifier(name)}`;
  const wanted = new Set(needs.tables.map((table) => table.oid));
  const superfluous = publication.listed.filter(({ oid }) => !wanted.has(oid));
  if (superfluous.length > 0) statements.push(`${alter} DROP TABLE ${superfluous.map(only).join(', ')}`);
  if ([...publication.operations].some((operation) => !operations.has(operation))) {
    statements.push(`${alter} SET (${optionList(operations, needs.generatedColumns)})`);
  }
  return [...statements, ...relist(needs, publication, (listed) => needs.pushedDown.get(listed.oid) ?? listed)];
}

/** Joins statements for someone to run: in one transaction, because changes in between would be missed. */
export function script(statements: readonly string[]): string {
  return statements.length > 1 ? `BEGIN; ${statements.join('; ')}; COMMIT;` : `${statements.join('')};`;
}

function widenOptions(needs: PublicationNeeds, publication: Publication): string[] {
  const { name, operations, generatedColumns } = needs;
  const rooted = !publication.viaRoot && needs.tables.some((table) => table.kind === 'p' || table.ancestors.length > 0);
  const generated = generatedColumns && !publication.generatedColumns;
  if (!rooted && !generated && [...operations].every((operation) => publication.operations.has(operation))) return [];
  const both = optionList(bothOperations(needs, publication), generatedColumns);
  return [`ALTER PUBLICATION ${quoteIdentifier(name)} SET (${both})`];
}

/** A filter could make PostgreSQL refuse the application's writes while other operations are still published. Then it is added by `narrowPublication`. */
function addMissing(needs: PublicationNeeds, publication: Publication, operations: ReadonlySet<Operation>): string[] {
  const missing = needs.tables.filter(
    (table) => !publication.carried.has(quoteTable(table)) && !publication.listed.some(({ oid }) => oid === table.oid),
  );
  if (missing.length === 0 || publication.allTables) return [];
  const added = missing.map((table) => {
    const entry = needs.pushedDown.get(table.oid);
    return addition(table, entry && isRefused(entry, operations) ? { ...entry, where: undefined } : entry);
  });
  return [`ALTER PUBLICATION ${quoteIdentifier(needs.name)} ADD TABLE ${added.join(', ')}`];
}

/** Changes lists or filters of tables: only possible by removing and adding them. In one transaction, so that decoding always sees the table. */
function relist(needs: PublicationNeeds, publication: Publication, target: (listed: ListedTable) => Entry): string[] {
  const altered = publication.listed.filter((listed) => !isEqual(listed, target(listed)));
  const alter = `ALTER PUBLICATION ${quoteIdentifier(needs.name)}`;
  if (altered.length === 0) return [];
  return [
    `${alter} DROP TABLE ${altered.map(only).join(', ')}`,
    `${alter} ADD TABLE ${altered.map((listed) => addition(listed, target(listed))).join(', ')}`,
  ];
}

function isEqual(one: Entry, other: Entry): boolean {
  const columns = (entry: Entry) => entry.columns?.toSorted().join('\0');
  return one.where === other.where && columns(one) === columns(other);
}

function bothColumns(listed: Entry, wanted: PushedDown): readonly string[] | undefined {
  return listed.columns && wanted.columns && [...new Set([...listed.columns, ...wanted.columns])];
}

function bothOperations(needs: PublicationNeeds, publication: Publication): Set<Operation> {
  return new Set([...publication.operations, ...needs.operations]);
}

/** Whether PostgreSQL refuses the application's updates or deletes because of a row filter (42P10). */
export function isRefused(entry: Pick<ListedTable, 'where' | 'outside'>, operations: ReadonlySet<Operation>): boolean {
  return (
    entry.where !== undefined && entry.outside.length > 0 && (operations.has('update') || operations.has('delete'))
  );
}

function optionList(operations: ReadonlySet<Operation>, generatedColumns: boolean): string {
  const list = `publish = '${[...operations].join(', ')}', publish_via_partition_root = true`;
  return generatedColumns ? `${list}, publish_generated_columns = stored` : list;
}
