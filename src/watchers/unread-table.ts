import type { Relation } from '../postgres/pgoutput/messages.ts';
import type { Table } from '../postgres/tables.ts';

/** The facts about a table that are known without its database. Columns have their names in the database. */
export interface UnreadTable {
  readonly schema: string;
  readonly table: string;
  readonly primaryKey: readonly string[];
  /** OIDs by column; 0: not known. */
  readonly types: Readonly<Record<string, number>>;
}

/** The table as far as events need it. */
export function tableOf({ schema, table, primaryKey, types }: UnreadTable): Table {
  const columns = Object.entries(types).map(([name, typeOid], index) => ({
    name, number: index + 1, typeOid, notNull: false, generated: undefined, toastable: false,
  })); // prettier-ignore
  return {
    oid: 0, schema, name: table, kind: 'r', persistence: 'p', ancestors: [], columns,
    lastNumber: columns.length, primaryKey, uniqueKeys: [], deferrableKeys: [], replicaIdentity: 'default', identityColumns: new Set(), identityUnion: new Set(), withoutIdentity: [], leaves: [],
  }; // prettier-ignore
}

export function relationOf({ schema, table }: Pick<UnreadTable, 'schema' | 'table'>): Relation {
  return { oid: 0, schema, name: table, replicaIdentity: 'd', columns: [] };
}
