import pg from 'pg';
import type { Client, CustomTypesConfig } from 'pg';
import type { TypeMessage } from './pgoutput/messages.ts';

/** PostgreSQL's text of a value → what pg returns for it. */
export type Parser = (text: string) => unknown;

/** Lower OIDs are built in. Domains start here (the lowest ones belong to information_schema). transam.h: FirstGenbkiObjectId. */
const firstUnknownOid = 10_000;

/** Represents citext, an extension's type with a different OID in each database. */
export const caseInsensitive = -1;

/**
 * Finds the parser that pg would use for a column. PostgreSQL sends the base type of a domain to pg, but the domain itself in logical
 * replication. So domains are looked up in the catalog, once per connection.
 */
export class TypeCatalog {
  readonly #overrides: CustomTypesConfig;
  readonly #baseTypes = new Map<number, number>();
  /** OIDs of citext. */
  readonly #caseInsensitive = new Set<number>();
  /** Type messages of the stream about unknown types, until these are looked up. */
  readonly #described = new Map<number, TypeMessage>();

  constructor(types: CustomTypesConfig | undefined) {
    this.#overrides = new pg.TypeOverrides(types);
  }

  knows(oid: number): boolean {
    return oid < firstUnknownOid || this.#baseTypes.has(oid);
  }

  /** The stream names the base type that a domain had then. The catalog may not show it yet, or no longer. */
  describe(type: TypeMessage): void {
    if (!this.knows(type.oid)) this.#described.set(type.oid, type);
  }

  /** Looks up the OIDs that are unknown. */
  async resolve(client: Client, oids: Iterable<number>): Promise<void> {
    const unknown = [...new Set(oids)].filter((oid) => !this.knows(oid));
    if (unknown.length === 0) return;
    const described = unknown.flatMap((oid) => this.#described.get(oid) ?? []);
    const { rows } = await client.query<TypeRow>(baseTypesQuery, [
      unknown,
      described.map((type) => type.oid),
      described.map((type) => type.schema),
      described.map((type) => type.name),
    ]);
    for (const oid of unknown) this.#baseTypes.set(oid, oid); // a type of the application that was dropped since has no row
    this.#learn(rows);
    this.#described.clear();
  }

  /** Looks up the types of all columns of these tables by name, in the same round trip as the query that reads the tables. */
  async resolveColumns(client: Client, tables: readonly { schema: string; name: string }[]): Promise<void> {
    const { rows } = await client.query<TypeRow>(columnTypesQuery, [
      tables.map((table) => table.schema),
      tables.map((table) => table.name),
    ]);
    this.#learn(rows);
  }

  #learn(rows: readonly TypeRow[]): void {
    for (const { oid, base, name } of rows) {
      this.#baseTypes.set(oid, base);
      if (name === 'citext') this.#caseInsensitive.add(base);
    }
  }

  /** The base type of a domain, which pg uses for queries. */
  baseType(oid: number): number {
    return this.#baseTypes.get(oid) ?? oid;
  }

  /** The type whose rules decide whether values are equal. */
  comparedAs(oid: number): number {
    const base = this.baseType(oid);
    return this.#caseInsensitive.has(base) ? caseInsensitive : base;
  }

  parser(oid: number): Parser {
    return this.#overrides.getTypeParser(this.baseType(oid), 'text') as Parser;
  }
}

interface TypeRow {
  readonly oid: number;
  readonly base: number;
  readonly name: string;
}

/** Follows each domain among the OIDs down to its base type. */
const stepsFrom = (oids: string) => `
  with recursive step(oid, base, name, kind, next) as (
    select t.oid, t.oid, t.typname, t.typtype, t.typbasetype from pg_catalog.pg_type t where t.oid in (${oids})
    union all
    select s.oid, t.oid, t.typname, t.typtype, t.typbasetype from step s join pg_catalog.pg_type t on t.oid = s.next where s.kind = 'd'
  )
  select oid, base, name from step where kind <> 'd'`;

const baseTypesQuery = `
  ${stepsFrom('select pg_catalog.unnest($1::pg_catalog.oid[])')}
  union -- built-in types are never dropped
  select d.oid, t.oid, t.typname from unnest($2::pg_catalog.oid[], $3::text[], $4::text[]) d(oid, schema, name)
  join pg_catalog.pg_namespace n on n.nspname = d.schema
  join pg_catalog.pg_type t on t.typnamespace = n.oid and t.typname = d.name
  where not exists (select from step where step.oid = d.oid and step.kind <> 'd')`;

const columnTypesQuery = stepsFrom(`
  select a.atttypid from unnest($1::text[], $2::text[]) w(schema, name)
  join pg_catalog.pg_namespace n on n.nspname = w.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and a.atttypid >= '${firstUnknownOid}'`);
