import type { Client } from 'pg';
import { foreignTable } from '../postgres/own-tables.ts';
import type { Check } from './checks.ts';

/** The tables of walwatch that it will not use. Those that are in order, or not there, have no line. */
export async function ownTableChecks(client: Client): Promise<Check[]> {
  const checks: Check[] = [];
  for (const table of ['dead_letters', 'positions', 'attempts'] as const) {
    const foreign = await foreignTable(client, table);
    if (!foreign) continue;
    checks.push({
      name: `walwatch.${table}`, level: 'warning', found: foreign.message,
      why: 'a worker of this role would not start, or could not write dead letters', fix: foreign.solution,
    }); // prettier-ignore
  }
  return checks;
}
