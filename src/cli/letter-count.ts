import type { Client } from 'pg';
import { type OwnTableFacts, readOwnTable } from './own-table-facts.ts';

/** The dead letters of one subscription. */
interface Letters {
  readonly subscription: string;
  readonly count: number;
  readonly newest: Date;
}

export type LetterCount = OwnTableFacts<Letters>;

/** How many events of a slot have become dead letters, by subscription. The first letter creates the table. */
export function countLetters(client: Client, slot: string): Promise<LetterCount> {
  return readOwnTable(client, 'dead_letters', async () => {
    const { rows } = await client.query<{ subscription: string; count: number; newest: number }>(
      `select subscription, count(*)::int as count, (extract(epoch from pg_catalog.max(failed_at)) * 1000)::float8 as newest
       from walwatch.dead_letters where slot = $1 group by subscription order by count(*) desc, subscription`,
      [slot],
    );
    return rows.map((row) => ({ ...row, newest: new Date(row.newest) }));
  });
}
