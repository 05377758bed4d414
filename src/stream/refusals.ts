/** Finds the reasons why PostgreSQL refuses the application's own writes because of our publication. Pure. */
import { quoteIdentifier, quoteTable, type Server, since } from '../postgres/server.ts';
import type { Leaf, Table } from '../postgres/tables.ts';
import { WatchError } from '../errors.ts';
import type { ListedTable, Publication, PublicationNeeds } from '../setup/publication.ts';
import { isRefused, script } from '../setup/publication-sql.ts';
import { addition, only } from '../setup/pushed-down.ts';

/** What an inspection has read about the publication and the tables. */
export interface Seen {
  readonly publication: Publication;
  /** The watched tables that exist. */
  readonly tables: readonly Table[];
  readonly server: Pick<Server, 'major'>;
}

export interface Refusal {
  readonly table: Table;
  readonly error: WatchError;
}

/** Reasons why PostgreSQL refuses the application's updates and deletes of published tables. */
export function refusals(needs: PublicationNeeds, { publication, tables, server }: Seen): Refusal[] {
  const refused = (['update', 'delete'] as const).filter((operation) => publication.operations.has(operation));
  if (refused.length === 0) return [];
  const operations = refused.map((operation) => `${operation}s`).join(' and ');
  return tables.flatMap((table): Refusal[] => {
    const listed = publication.listed.find(({ oid }) => oid === table.oid);
    if (!listed && !publication.carried.has(quoteTable(table))) return [];
    const cause =
      identityGone(needs, table) ?? generatedColumn(table, publication, server) ?? listOrFilter(needs, table, listed, publication);
    if (!cause) return [];
    const message = `PostgreSQL refuses the application's ${operations} of ${quoteTable(table)}, which the publication '${needs.name}' sends: ${cause.reason}`;
    return [{ table, error: new WatchError('REPLICA_IDENTITY', message, { solution: cause.solution }) }];
  }); // prettier-ignore
}

interface Cause {
  readonly reason: string;
  readonly solution: string;
}

/** The primary key or the identity's index was dropped, or the identity set to NOTHING. Error 55000. */
function identityGone(needs: PublicationNeeds, table: Table): Cause | undefined {
  const { withoutIdentity, primaryKey } = table;
  if (withoutIdentity.length === 0) return undefined;
  const reason = `${withoutIdentity.map(quoteTable).join(', ')} no longer has a replica identity`;
  const before = needs.tables.find((one) => one.schema === table.schema && one.name === table.name)?.primaryKey;
  if (before && !primaryKey && withoutIdentity.every(({ replicaIdentity }) => replicaIdentity === 'default')) {
    const add = `ALTER TABLE ${quoteTable(table)} ADD PRIMARY KEY (${before.map(quoteIdentifier).join(', ')});`;
    return { reason, solution: `${add} If the table should have no primary key, set REPLICA IDENTITY FULL.` };
  }
  const identity = (one: Leaf) => (primaryKey && one.replicaIdentity !== 'default' ? 'DEFAULT' : 'FULL');
  const statements = withoutIdentity.map((one) => `ALTER TABLE ${quoteTable(one)} REPLICA IDENTITY ${identity(one)};`);
  return { reason, solution: statements.join(' ') };
}

/** PostgreSQL 18 and later require that every column of the identity is published. Error 42P10. */
function generatedColumn(table: Table, publication: Publication, server: Pick<Server, 'major'>): Cause | undefined {
  if (server.major < since.generatedColumns) return undefined;
  const full = fullIdentities(table);
  const column = table.columns.find(({ generated }) =>
    generated === 'stored' ? !publication.generatedColumns : generated === 'virtual',
  );
  if (full.length === 0 || !column) return undefined;
  const statements = full.map((one) => `ALTER TABLE ${quoteTable(one)} REPLICA IDENTITY DEFAULT;`).join(' ');
  return {
    reason: `it has REPLICA IDENTITY FULL and the ${column.generated} generated column '${column.name}', which is not published`,
    solution: statements,
  };
}

/** The replica identity was changed and does not match a column list or row filter. Error 42P10. */
function listOrFilter(
  needs: PublicationNeeds,
  table: Table,
  listed: ListedTable | undefined,
  publication: Publication,
): Cause | undefined {
  if (!listed) return undefined;
  const { columns } = listed;
  const list =
    columns &&
    (fullIdentities(table).length > 0 || [...table.identityUnion].some((column) => !columns.includes(column)));
  const filtered = isRefused(listed, publication.operations);
  if (!list && !filtered) return undefined;
  const alter = `ALTER PUBLICATION ${quoteIdentifier(needs.name)}`;
  const entry = { columns: undefined, where: filtered ? undefined : listed.where };
  return {
    reason: `its replica identity was changed and no longer fits the ${list ? 'column list' : 'row filter'}`,
    solution: script([`${alter} DROP TABLE ${only(table)}`, `${alter} ADD TABLE ${addition(table, entry)}`]),
  };
}

function fullIdentities(table: Table): readonly (Table | Leaf)[] {
  return [table, ...table.leaves].filter(({ replicaIdentity }) => replicaIdentity === 'full');
}
