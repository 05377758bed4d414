/** Puts results into bench/README.md, each under the heading of its versions, in place of older ones. */
import { readFile, writeFile } from 'node:fs/promises';
import type { Table } from './measure.ts';

const path = 'bench/README.md';

export async function writeReport(
  heading: string,
  rounds: number,
  scale: number,
  results: readonly (Table | string)[],
): Promise<void> {
  const text = await readFile(path, 'utf8');
  const date = new Date().toISOString().slice(0, 10);
  const scaled = scale === 1 ? '' : `, sizes × ${scale}`;
  const body = results.map((result) =>
    typeof result === 'string' ? result : `**${result.title}**\n\n${markdown(result)}`,
  );
  const section = `## ${heading}\n\n${date}; medians of ${rounds} rounds in rotating order${scaled}.\n\n${body.join('\n\n')}\n`;
  const [before = '', ...sections] = text.split(/^(?=## PostgreSQL )/m);
  const others = sections.filter((one) => !one.startsWith(`## ${heading}\n`)).map((one) => one.trimEnd());
  await writeFile(path, [before.trimEnd(), ...others, section].join('\n\n'));
}

function markdown({ rows }: Table): string {
  const columns = Object.keys(rows[0] ?? {});
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  return [
    line(columns),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map((name) => row[name] ?? ''))),
  ].join('\n');
}
