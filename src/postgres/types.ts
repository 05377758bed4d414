import pg from 'pg';
import type { Client, CustomTypesConfig } from 'pg';
import type { TypeMessage } from './pgoutput/messages.ts';

/** PostgreSQL's text of a value → what pg returns for it. */
export type Parser = (text: string) => unknown;

/** OIDs below are built in; domains may exist from here on (information_schema's are the lowest). transam.h: FirstGenbkiObjectId. */
const firstUnknownOid = 10_000;

/** Stands for citext, an extension's type whose OID is another in each database. */
export const caseInsensitive = -1;

/**
 * Finds the parser that pg would use for a column. pg is told the base type of a domain, logical replication the
 * domain itself; so domains are looked up in the catalog, once for each connection.
 */
export class TypeCatalog {
  readonly #overrides: CustomTypesConfig;
  readonly #baseTypes = new Map<number, number>();
  /** OIDs of citext. */
  readonly #caseInsensitive = new Set<number>();
  /** What the stream says of types that were not known, until they are looked up. */
  readonly #described = new Map<number, TypeMessage>();

  constructor(types: CustomTypesConfig | undefined) {
    this.#overrides = new pg.TypeOverrides(types);
  }

  knows(oid: number): boolean {
    return oid < firstUnknownOid || this.#baseTypes.has(oid);
  }

  /** The stream names the base type of a domain as it was then; the catalog may not show it yet, or not any more. */
  describe(type: TypeMessage): void {
    if (!this.knows(type.oid)) this.#described.set(type.oid, type);
  }

  /** Looks up the OIDs that are not known yet. */
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
    for (const oid of unknown) this.#baseTypes.set(oid, oid); // the application's own type, dropped since: it has no row
    this.#learn(rows);
    this.#described.clear();
  }

  /** Looks up the types of all columns of these tables, by name: together with what reads the tables. */
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

  /** The type that pg is told in place of a domain. */
  baseType(oid: number): number {
    return this.#baseTypes.get(oid) ?? oid;
  }

  /** The type whose rules decide which values are equal. */
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

/** From each domain among the OIDs down to the type that is none. */
const stepsFrom = (oids: string) => `
  with recursive step(oid, base, name, kind, next) as (
    select t.oid, t.oid, t.typname, t.typtype, t.typbasetype from pg_catalog.pg_type t where t.oid in (${oids})
    union all
    select s.oid, t.oid, t.typname, t.typtype, t.typbasetype from step s join pg_catalog.pg_type t on t.oid = s.next where s.kind = 'd'
  )
  select oid, base, name from step where kind <> 'd'`;

const baseTypesQuery = `
  ${stepsFrom('select pg_catalog.unnest($1::pg_catalog.oid[])')}
  union -- built-in types are always there
  select d.oid, t.oid, t.typname from unnest($2::pg_catalog.oid[], $3::text[], $4::text[]) d(oid, schema, name)
  join pg_catalog.pg_namespace n on n.nspname = d.schema
  join pg_catalog.pg_type t on t.typnamespace = n.oid and t.typname = d.name
  where not exists (select from step where step.oid = d.oid and step.kind <> 'd')`;

const columnTypesQuery = stepsFrom(`
  select a.atttypid from unnest($1::text[], $2::text[]) w(schema, name)
  join pg_catalog.pg_namespace n on n.nspname = w.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and a.atttypid >= '${firstUnknownOid}'`);
