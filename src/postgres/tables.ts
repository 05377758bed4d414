import type { Client } from 'pg';

export type ReplicaIdentity = 'default' | 'full' | 'index' | 'nothing';

export interface Column {
  readonly name: string;
  /** `pg_attribute.attnum`: does not change when the column is renamed, and is never reused. */
  readonly number: number;
  readonly typeOid: number;
  readonly notNull: boolean;
  readonly generated: 'stored' | 'virtual' | undefined;
  /** Values may be stored out of line (TOAST). PostgreSQL does not send such a value if the update did not change it. */
  readonly toastable: boolean;
}

/** A partition that holds rows. */
export interface Leaf {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly replicaIdentity: ReplicaIdentity;
}

/** A table as it is in the catalog now. Columns have their names in the database. */
export interface Table {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** `pg_class.relkind` */
  readonly kind: string;
  /** `pg_class.relpersistence` */
  readonly persistence: string;
  /** OIDs of the partitioned tables above it. */
  readonly ancestors: readonly number[];
  readonly columns: readonly Column[];
  /** `pg_class.relnatts`: the number of the last column, including dropped ones. */
  readonly lastNumber: number;
  readonly primaryKey: readonly string[] | undefined;
  /** Of a partitioned table: the partitions that hold rows. Their replica identities decide which old values are sent. */
  readonly leaves: readonly Leaf[];
  /** Column lists of unique indexes that are checked immediately. */
  readonly uniqueKeys: readonly (readonly string[])[];
  /** Column lists of deferrable ones, which are checked at the latest at the commit. Events are unique by them, but they cannot be a replica identity. */
  readonly deferrableKeys: readonly (readonly string[])[];
  readonly replicaIdentity: ReplicaIdentity;
  /** Columns whose old values a change carries. Of a partitioned table: in every partition. */
  readonly identityColumns: ReadonlySet<string>;
  /** Columns in the replica identity of the table or of any of its partitions: a column list must contain them. */
  readonly identityUnion: ReadonlySet<string>;
  /** The table, or its partitions that hold rows, without a replica identity. PostgreSQL refuses their updates and deletes while those are published. */
  readonly withoutIdentity: readonly Leaf[];
}

const identities: Readonly<Record<string, ReplicaIdentity>> = { d: 'default', f: 'full', i: 'index', n: 'nothing' };
const generations: Readonly<Record<string, Column['generated']>> = { s: 'stored', v: 'virtual' };

interface Key {
  primary: boolean;
  identity: boolean;
  immediate: boolean;
  columns: string[];
}

interface Row {
  oid: number;
  schema: string;
  name: string;
  kind: string;
  persistence: string;
  last_number: number;
  identity: string;
  ancestors: number[];
  columns: { name: string; number: number; type: number; not_null: boolean; generated: string; toastable: boolean }[];
  keys: Key[];
  leaves: { oid: number; schema: string; name: string; identity: string; keys: Key[] }[];
}

/** Reads those of the named tables that exist. `relation`: also the table with this OID, and the tables that it is a partition of. */
export async function readTables(
  client: Client,
  wanted: readonly { readonly schema: string; readonly name: string }[],
  relation?: number,
): Promise<Table[]> {
  const { rows } = await client.query<Row>(tablesQuery, [
    wanted.map((table) => table.schema),
    wanted.map((table) => table.name),
    relation ?? null,
  ]);
  return rows.map(toTable);
}

/** pg_type.dat */
const [numeric, bpchar, varchar] = [1700, 1042, 1043];

/** The unique indexes of a relation, as JSON. */
const keysOf = (relation: string) => `
  coalesce((select pg_catalog.json_agg(pg_catalog.json_build_object(
                     'primary', i.indisprimary, 'identity', i.indisreplident, 'immediate', i.indimmediate,
                     'columns', (select pg_catalog.json_agg(a.attname order by k.position)
                                 from pg_catalog.unnest(i.indkey::int2[]) with ordinality k(attnum, position)
                                 join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                                 where k.position <= i.indnkeyatts)))
            from pg_catalog.pg_index i
            where i.indrelid = ${relation} and i.indisunique and i.indisvalid
              and i.indpred is null and i.indexprs is null), '[]')`;

/** All partitions below a table. pg_partition_tree() would lock each of them, and so wait for a migration that has locked one. */
const below = (root: string) => `
  with recursive below(oid) as (
    select inhrelid from pg_catalog.pg_inherits where inhparent = ${root} and not inhdetachpending
    union all
    select i.inhrelid from below b join pg_catalog.pg_inherits i on i.inhparent = b.oid and not i.inhdetachpending)
  select oid from below`;

/**
 * The maximum size of a value in bytes; null: unlimited. Like type_maximum_size(), plus domains, and plus types without a length that
 * are always small: inet, cidr, int4range, daterange.
 */
const largestValue = `
  case when m.type = any ('{869,650,3904,3912}') then 24
       when m.modifier < 4 then null
       when m.type = ${numeric} then 8 + 2 * ((((m.modifier - 4) >> 16 & 65535) + 6) / 4)
       when m.type in (${bpchar}, ${varchar}) then
         4 + (m.modifier - 4) * (select pg_catalog.pg_encoding_max_length(d.encoding) from pg_catalog.pg_database d
                                 where d.datname = pg_catalog.current_database())
  end`;

/**
 * PostgreSQL moves values of more than 24 bytes out of a row that is too long (toast_helper.c), but only if the table has a TOAST
 * table, that is if its rows can get so long. A partitioned table has none, its partitions do.
 */
const isToastable = `
  a.attlen = -1 and a.attstorage <> 'p' and (c.relkind = 'p' or c.reltoastrelid <> 0)
  and coalesce((select ${largestValue} > 24
                from (select case t.typtype when 'd' then t.typbasetype else a.atttypid end as type,
                             case t.typtype when 'd' then t.typtypmod else a.atttypmod end as modifier) m), true)`;

const tablesQuery = `
  select c.oid, n.nspname as schema, c.relname as name, c.relkind as kind, c.relpersistence as persistence,
         c.relnatts as last_number, c.relreplident as identity,
         coalesce((select pg_catalog.json_agg(a.relid::pg_catalog.oid::int8)
                   from pg_catalog.pg_partition_ancestors(c.oid) a where a.relid <> c.oid), '[]') as ancestors,
         coalesce((select pg_catalog.json_agg(pg_catalog.json_build_object(
                            'name', a.attname, 'number', a.attnum, 'type', a.atttypid::int8, 'not_null', a.attnotnull,
                            'generated', a.attgenerated, 'toastable', ${isToastable}) order by a.attnum)
                   from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
                   where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '[]') as columns,
         ${keysOf('c.oid')} as keys,
         case when c.relkind = 'p' then
           coalesce((select pg_catalog.json_agg(pg_catalog.json_build_object(
                              'oid', l.oid::int8, 'schema', ln.nspname, 'name', l.relname, 'identity', l.relreplident,
                              'keys', ${keysOf('l.oid')}))
                     from (${below('c.oid')}) b join pg_catalog.pg_class l on l.oid = b.oid and l.relkind <> 'p'
                     join pg_catalog.pg_namespace ln on ln.oid = l.relnamespace), '[]')
         else '[]' end as leaves
  -- PostgreSQL accepts unnest() of several arrays only without a schema.
  from (select * from unnest($1::text[], $2::text[]) w(schema, name)
        union
        select n.nspname::text, c.relname::text
        from (select $3::pg_catalog.oid as oid
              union select a.relid::pg_catalog.oid from pg_catalog.pg_partition_ancestors($3::pg_catalog.oid) a) r
        join pg_catalog.pg_class c on c.oid = r.oid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace) w
  join pg_catalog.pg_namespace n on n.nspname = w.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name and c.relkind not in ('i', 'I', 'S', 't', 'c')`;

function toTable(row: Row): Table {
  const columns = row.columns.map((column): Column => ({
    name: column.name,
    number: column.number,
    typeOid: column.type,
    notNull: column.not_null,
    generated: generations[column.generated],
    toastable: column.toastable,
  }));
  const names = columns.map((column) => column.name);
  const identityOf = ({ identity, keys }: Pick<Row, 'identity' | 'keys'>) => identityColumns(identity, keys, names);
  const covered = [row, ...row.leaves].map((one) => new Set(identityOf(one)));
  const toLeaf = ({ oid, schema, name, identity }: Row['leaves'][number]): Leaf => ({
    oid, schema, name, replicaIdentity: identities[identity] ?? 'nothing',
  }); // prettier-ignore
  const holdRows = row.kind === 'p' ? row.leaves : [row];
  return {
    oid: row.oid,
    schema: row.schema,
    name: row.name,
    kind: row.kind,
    persistence: row.persistence,
    ancestors: row.ancestors,
    columns,
    lastNumber: row.last_number,
    primaryKey: row.keys.find((key) => key.primary)?.columns,
    uniqueKeys: row.keys.filter((key) => key.immediate).map((key) => key.columns),
    deferrableKeys: row.keys.filter((key) => !key.immediate).map((key) => key.columns),
    replicaIdentity: identities[row.identity] ?? 'nothing',
    identityColumns: new Set(names.filter((name) => covered.every((set) => set.has(name)))),
    identityUnion: new Set(names.filter((name) => covered.some((set) => set.has(name)))),
    withoutIdentity: holdRows.filter((one) => identityOf(one).length === 0).map(toLeaf),
    leaves: row.leaves.map(toLeaf),
  };
}

/** PostgreSQL uses no replica identity if its index was dropped, or if the primary key is deferrable. */
function identityColumns(identity: string, keys: readonly Key[], all: readonly string[]): readonly string[] {
  if (identity === 'f') return all;
  const key = keys.find((one) => one.immediate && (identity === 'i' ? one.identity : identity === 'd' && one.primary));
  return key?.columns ?? [];
}
