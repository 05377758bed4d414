import { quoteTable } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';
import type { ConfigurationIssue } from '../errors.ts';
import type { Watcher } from './validate.ts';

const kinds: Readonly<Record<string, string>> = {
  v: 'is a view', m: 'is a materialized view', f: 'is a foreign table', S: 'is a sequence', t: 'is a TOAST table', c: 'is a composite type',
}; // prettier-ignore

/** Reasons why a table cannot be watched, whatever its columns are. */
export function unwatchable({ name: watcher }: Watcher, table: Table): ConfigurationIssue[] {
  const where = { watcher, table: table.name };
  const kind = kinds[table.kind];
  if (kind)
    return [
      {
        ...where,
        message: `${watcher}: ${quoteTable(table)} ${kind}. PostgreSQL does not replicate its changes`,
        solution: 'Watch the tables that it reads from.',
      },
    ];
  if (table.persistence === 'u') {
    return [
      {
        ...where,
        message: `${watcher}: ${quoteTable(table)} is unlogged: its changes are not in the WAL`,
        solution: `ALTER TABLE ${quoteTable(table)} SET LOGGED;`,
      },
    ];
  }
  if (table.persistence === 't')
    return [
      {
        ...where,
        message: `${watcher}: ${quoteTable(table)} is temporary: its changes are not in the WAL`,
        solution: 'Watch a permanent table.',
      },
    ];
  return [];
}
