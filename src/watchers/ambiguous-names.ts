import { quoteTable } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';
import type { ConfigurationIssue } from '../errors.ts';
import { candidates } from './drizzle.ts';
import type { Watcher } from './validate.ts';

/** Reports a Drizzle column without an explicit name that could be either of two columns. The wrong one would have wrong values. */
export function ambiguousName(watcher: Watcher, property: string, table: Table): ConfigurationIssue[] {
  const { drizzle } = watcher.table;
  if (!drizzle?.unnamed.includes(property)) return [];
  const names = candidates(property, drizzle.unnamed, (name) => table.columns.some((one) => one.name === name));
  if (names.length < 2) return [];
  const quoted = names.map((name) => `'${name}'`);
  return [{
    message: `${watcher.name}: '${property}' has no explicit name in Drizzle, and could be ${quoted.join(' or ')} of ${quoteTable(table)}: only drizzle() knows its \`casing\``,
    solution: `Choose one: table(…)({ columnMap: { ${property}: ${quoted.at(-1)} } }), or name the column in the Drizzle table.`,
    watcher: watcher.name,
    table: table.name,
    column: property,
  }]; // prettier-ignore
}
