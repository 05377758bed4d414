import { quoteTable } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';
import type { ConfigurationIssue } from '../errors.ts';
import { candidates } from './drizzle.ts';
import type { Watcher } from './validate.ts';

/** A Drizzle column without a name of its own that may be one column of the table or another: the wrong one has wrong values. */
export function ambiguousName(watcher: Watcher, property: string, table: Table): ConfigurationIssue[] {
  const { drizzle } = watcher.table;
  if (!drizzle?.unnamed.includes(property)) return [];
  const names = candidates(property, drizzle.unnamed, (name) => table.columns.some((one) => one.name === name));
  if (names.length < 2) return [];
  const quoted = names.map((name) => `'${name}'`);
  return [{
    message: `${watcher.name}: '${property}' has no name of its own in Drizzle, and may be ${quoted.join(' or ')} of ${quoteTable(table)}: only drizzle() knows its \`casing\``,
    solution: `Say which: table(…)({ columnMap: { ${property}: ${quoted.at(-1)} } }), or give the column its name in the Drizzle table.`,
    watcher: watcher.name,
    table: table.name,
    column: property,
  }]; // prettier-ignore
}
