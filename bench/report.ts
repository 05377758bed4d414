/** Writes results into bench/README.md: under the heading of its versions, each table replaces the one with its name. */
import { readFile, writeFile } from 'node:fs/promises';
import type { Table } from './measure.ts';

const path = 'bench/README.md';

export async function writeReport(
  heading: string,
  rounds: number,
  scale: number,
  results: readonly Table[],
): Promise<void> {
  const date = new Date().toISOString().slice(0, 10);
  const scaled = scale === 1 ? '' : `, sizes × ${scale}`;
  const [before = '', ...sections] = (await readFile(path, 'utf8')).split(/^(?=## PostgreSQL )/m);
  const ofHeading = (section: string) => section.startsWith(`## ${heading}\n`);
  const [, ...older] = (sections.find(ofHeading) ?? '').split(/^(?=\*\*[A-Z]\d?: )/m);
  const tables = new Map(older.map((table) => [nameOf(table.slice(2)), table.trimEnd()]));
  for (const { title, rows } of results) {
    tables.set(nameOf(title), `**${title}** (${date}; medians of ${rounds} rounds${scaled})\n\n${markdown(rows)}`);
  }
  const section = [`## ${heading}`, ...[...tables.keys()].toSorted().map((letter) => tables.get(letter)!)].join('\n\n');
  const others = sections.filter((one) => !ofHeading(one)).map((one) => one.trimEnd());
  await writeFile(path, `${[before.trimEnd(), ...others, section].join('\n\n')}\n`);
}

/** `A`, or `J1`. */
function nameOf(title: string): string {
  return title.slice(0, title.indexOf(':'));
}

function markdown(rows: Table['rows']): string {
  const columns = Object.keys(rows[0] ?? {});
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  return [
    line(columns),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map((name) => row[name] ?? ''))),
  ].join('\n');
}
