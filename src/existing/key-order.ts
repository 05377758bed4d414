import type { Client } from 'pg';
import pg from 'pg';
import { WatchError } from '../errors.ts';
import { quoteIdentifier, quoteTable } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';

/** A key as PostgreSQL's texts of its columns, in the order of the index. */
export type KeyTexts = readonly string[];

/** For maps and sets. */
export function idOf(key: KeyTexts): string {
  return key.length === 1 ? key[0]! : JSON.stringify(key);
}

interface KeyColumn {
  readonly name: string;
  readonly type: string;
  /** The index's. Null: the type has none. A comparison of two literals would use the database's. */
  readonly collation: string | null;
  /** The schema and name of the index's operators for = < > <=. */
  readonly operators: Readonly<Record<'equal' | 'less' | 'greater' | 'atMost', string>>;
  /** Schemas of these that our role may not use. */
  readonly closed: readonly string[];
  /** The index is that of a deferrable constraint. */
  readonly deferrable: boolean;
}

/**
 * How the unique index of a table orders its keys. Keys are only compared by the server: collations and types have their
 * own order, and JavaScript does not know it.
 */
export class KeyOrder {
  readonly #columns: readonly KeyColumn[];

  private constructor(columns: readonly KeyColumn[]) {
    this.#columns = columns;
  }

  /** Reads it from the catalog. `key`: the columns of the primary key as the watchers name it in the database. */
  static async read(client: Client, table: Table, key: readonly string[]): Promise<KeyOrder> {
    const { rows } = await client.query<KeyColumn & { readonly place: number }>(keyQuery, [table.oid, key]);
    if (rows.length > 0) return new KeyOrder(rows);
    throw new WatchError(
      'CONFIGURATION',
      `${quoteTable(table)} has no valid unique btree index on (${key.join(', ')}), so its existing rows cannot be read in the order of their keys`,
      {
        solution: `CREATE UNIQUE INDEX CONCURRENTLY ON ${quoteTable(table)} (${key.map(quoteIdentifier).join(', ')});`,
      },
    );
  }

  /** What the stored state is compared with: keys of another table or another order say nothing. */
  descriptionOf({ oid }: Pick<Table, 'oid'>): string {
    return JSON.stringify([oid, ...this.#columns.map(({ name, type, collation }) => [name, type, collation])]);
  }

  /** Schemas that our role needs USAGE on, and may not use: of a column's type, its collation or its operators. */
  get closedSchemas(): readonly string[] {
    return [...new Set(this.#columns.flatMap(({ closed }) => closed))];
  }

  /** Within a transaction two rows may have the same key, so a key does not tell which of them moved on. */
  get isDeferrable(): boolean {
    return this.#columns[0]!.deferrable;
  }

  get names(): readonly string[] {
    return this.#columns.map(({ name }) => name);
  }

  /** For ORDER BY. */
  get ascending(): string {
    return this.#ordered('less');
  }

  get descending(): string {
    return this.#ordered('greater');
  }

  /** SQL: the key of a row is this one. */
  is(key: KeyTexts): string {
    return `(${this.#columns.map((column, index) => `${collated(column)} ${column.operators.equal} ${literal(column, key[index]!)}`).join(' and ')})`;
  }

  /** SQL: the key of a row is after this one. Undefined: every key is. */
  after(key: KeyTexts | undefined): string {
    return key === undefined ? 'true' : this.#compare('greater', this.#columns.map(collated), this.#literals(key));
  }

  /** SQL: the key of a row is not after this one. */
  upTo(key: KeyTexts): string {
    return this.#compare('atMost', this.#columns.map(collated), this.#literals(key));
  }

  /** SQL: the first key lies after `start` (undefined: anywhere) and not after `end`. */
  isBetween(key: KeyTexts, start: KeyTexts | undefined, end: KeyTexts): string {
    const [texts, limit] = [this.#literals(key), this.#literals(end)];
    const above = start === undefined ? 'true' : this.#compare('greater', texts, this.#literals(start));
    return `(${above} and ${this.#compare('atMost', texts, limit)})`;
  }

  #ordered(operator: 'less' | 'greater'): string {
    return this.#columns.map((column) => `${collated(column)} using ${column.operators[operator]}`).join(', ');
  }

  #literals(key: KeyTexts): readonly string[] {
    return this.#columns.map((column, index) => literal(column, key[index]!));
  }

  /** As a row where one operator does for all columns, which an index scan understands best. */
  #compare(operator: 'greater' | 'atMost', left: readonly string[], right: readonly string[]): string {
    const columns = this.#columns;
    const names = new Set(columns.map(({ operators }) => operators[operator]));
    const [name] = names;
    if (names.size === 1)
      return columns.length === 1
        ? `${left[0]} ${name} ${right[0]}`
        : `(${left.join(', ')}) ${name} (${right.join(', ')})`;
    const strict = (index: number) => columns[index]!.operators[operator === 'greater' ? 'greater' : 'less'];
    const last = columns.length - 1;
    const terms = columns.map(({ operators }, index) => {
      const before = left.slice(0, index).map((one, at) => `${one} ${columns[at]!.operators.equal} ${right[at]}`);
      const here = `${left[index]} ${index === last ? operators[operator] : strict(index)} ${right[index]}`;
      return `(${[...before, here].join(' and ')})`;
    });
    return `(${terms.join(' or ')})`;
  }
}

function collated({ name, collation }: KeyColumn): string {
  return collation === null ? quoteIdentifier(name) : `${quoteIdentifier(name)} collate ${collation}`;
}

function literal({ type, collation }: KeyColumn, text: string): string {
  return `${pg.escapeLiteral(text)}::${type}${collation === null ? '' : ` collate ${collation}`}`;
}

/**
 * The columns of the unique index on these columns, or on some of them, in the index's order, with its own operators: those of citext or of a type of the user's
 * are in a schema that our search path does not have.
 */
const keyQuery = `
  with candidate as (
    select i.indexrelid, i.indrelid, i.indimmediate, i.indnkeyatts::pg_catalog.int4 as count, i.indkey::pg_catalog.int2[] as keys, i.indclass::pg_catalog.oid[] as classes,
           i.indcollation::pg_catalog.oid[] as collations
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) i.indexrelid
    join pg_catalog.pg_am m on m.oid operator(pg_catalog.=) c.relam and m.amname operator(pg_catalog.=) 'btree'
    where i.indrelid operator(pg_catalog.=) $1::pg_catalog.oid and i.indisunique and i.indisvalid
      and i.indpred is null and i.indexprs is null
      and (select pg_catalog.array_agg(a.attname::pg_catalog.text)
           from pg_catalog.unnest((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts operator(pg_catalog.-) 1]) k(number)
           join pg_catalog.pg_attribute a on a.attrelid operator(pg_catalog.=) i.indrelid and a.attnum operator(pg_catalog.=) k.number)
          operator(pg_catalog.<@) $2::pg_catalog.text[]
    order by i.indnkeyatts desc, i.indisprimary desc, i.indimmediate desc, i.indexrelid
    limit 1
  )
  select a.attname as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
         (select pg_catalog.format('%I.%I', n.nspname, l.collname) from pg_catalog.pg_collation l
          join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) l.collnamespace
          where l.oid operator(pg_catalog.=) x.collations[k.place]) as collation,
         (select pg_catalog.json_object_agg(
                   case o.amopstrategy when 1 then 'less' when 2 then 'atMost' when 3 then 'equal' else 'greater' end,
                   pg_catalog.format('operator(%I.%s)', n.nspname, p.oprname))
          from pg_catalog.pg_opclass c
          join pg_catalog.pg_amop o on o.amopfamily operator(pg_catalog.=) c.opcfamily
            and o.amoplefttype operator(pg_catalog.=) c.opcintype and o.amoprighttype operator(pg_catalog.=) c.opcintype
            and o.amopstrategy in (1, 2, 3, 5)
          join pg_catalog.pg_operator p on p.oid operator(pg_catalog.=) o.amopopr
          join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.oprnamespace
          where c.oid operator(pg_catalog.=) x.classes[k.place]) as operators,
         pg_catalog.to_json(array(select n.nspname::pg_catalog.text from pg_catalog.pg_namespace n
               where not pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                 and (exists (select from pg_catalog.pg_type t where t.oid operator(pg_catalog.=) a.atttypid and t.typnamespace operator(pg_catalog.=) n.oid)
                   or exists (select from pg_catalog.pg_collation l where l.oid operator(pg_catalog.=) x.collations[k.place] and l.collnamespace operator(pg_catalog.=) n.oid)
                   or exists (select from pg_catalog.pg_opclass c where c.oid operator(pg_catalog.=) x.classes[k.place] and c.opcnamespace operator(pg_catalog.=) n.oid)))) as closed,
         not x.indimmediate as deferrable, k.place
  from candidate x
  cross join lateral pg_catalog.generate_series(0, x.count operator(pg_catalog.-) 1) k(place)
  join pg_catalog.pg_attribute a on a.attrelid operator(pg_catalog.=) x.indrelid and a.attnum operator(pg_catalog.=) x.keys[k.place]
  order by k.place`;
