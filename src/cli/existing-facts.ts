import type { Client } from 'pg';
import { type OwnTableFacts, readOwnTable } from './own-table-facts.ts';

/** The progress of reading the existing rows of one table for one subscription. */
export interface ExistingTable {
  readonly subscription: string;
  /** `schema.table` */
  readonly table: string;
  readonly version: string;
  readonly run: number;
  /** `waiting`: no row has been read, because no worker has started, or old transactions must end first. */
  readonly state: 'waiting' | 'reading' | 'done';
  /** Rows handled so far. */
  readonly rows: number;
  /** From PostgreSQL's statistics. Null: there are none, or the publication has a row filter for the table. */
  readonly estimatedRows: number | null;
  /** Null: not known, or nothing is being read. */
  readonly rowsPerSecond: number | null;
  readonly secondsLeft: number | null;
  /** When the state was stored last. */
  readonly updatedAt: Date;
}

export type ExistingFacts = OwnTableFacts<ExistingTable>;

/** Seconds without any progress after which the rate is 0 instead of unknown. */
const standstill = 10;

/**
 * Reads the state of all tables of a slot. `before`: the state some time ago, for the rate. Without the table
 * `walwatch.existing` no subscription has ever read existing rows.
 */
export function readExisting(
  client: Client,
  slot: string,
  publication: string,
  before: readonly ExistingTable[] = [],
): Promise<ExistingFacts> {
  return readOwnTable(client, 'existing', async () => {
    const { rows } = await client.query<Row>(query, [slot, publication]);
    return rows.map((row) => withRate(row, before));
  });
}

interface Row {
  readonly subscription: string;
  readonly table: string;
  readonly version: string;
  readonly run: number;
  readonly state: ExistingTable['state'];
  readonly rows: number;
  readonly estimated: number | null;
  /** Milliseconds since 1970. */
  readonly updated: number;
  /** Seconds since then. */
  readonly age: number;
}

/** The row filter is read by way of JSON, because PostgreSQL 14 has none. The leaves of a partitioned table are summed. */
const query = `
  select e.subscription, e.table_name as table, e.version, e.run,
         case when e.state = 'reading' and e.last_key is null then 'waiting' else e.state end as state, e.rows::float8 as rows,
         case when not exists (
                select from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid = r.prpubid
                where p.pubname = $2 and r.prrelid = c.oid and pg_catalog.to_jsonb(r) ->> 'prqual' is not null)
              then (select case when pg_catalog.min(l.reltuples) >= 0 then pg_catalog.sum(l.reltuples)::float8 end
                    from pg_catalog.pg_class l
                    where l.oid = c.oid and l.relkind <> 'p'
                       or l.oid in (select t.relid from pg_catalog.pg_partition_tree(c.oid) t where t.isleaf)) end as estimated,
         (extract(epoch from e.updated_at) * 1000)::float8 as updated,
         extract(epoch from pg_catalog.clock_timestamp() - e.updated_at)::float8 as age
  from walwatch.existing e
  left join (pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace)
    on n.nspname || '.' || c.relname = e.table_name and c.relkind in ('r', 'p')
  where e.slot = $1
  order by e.subscription, e.table_name`;

function withRate(row: Row, before: readonly ExistingTable[]): ExistingTable {
  const { subscription, table, version, run, state, rows, estimated, updated, age } = row;
  const earlier = before.find(
    (one) => one.subscription === subscription && one.table === table && one.version === version && one.run === run,
  );
  const seconds = earlier ? (updated - earlier.updatedAt.getTime()) / 1000 : 0;
  const rate =
    state !== 'reading'
      ? null
      : age > standstill
        ? 0
        : seconds > 0
          ? (rows - earlier!.rows) / seconds
          : (earlier?.rowsPerSecond ?? null);
  const left = estimated === null ? null : Math.max(0, estimated - rows);
  return {
    subscription, table, version, run, state, rows, estimatedRows: estimated, updatedAt: new Date(updated),
    rowsPerSecond: rate === null ? null : Math.round(rate),
    secondsLeft: left === null || rate === null || rate < 1 ? null : Math.round(left / rate),
  }; // prettier-ignore
}
