import pg from 'pg';
import type { Client, CustomTypesConfig } from 'pg';

/** PostgreSQL's text of a value → what pg returns for it. */
export type Parser = (text: string) => unknown;

/** OIDs below are built in; domains may exist from here on (information_schema's are the lowest). transam.h: FirstGenbkiObjectId. */
const firstUnknownOid = 10_000;

/**
 * Finds the parser that pg would use for a column. pg is told the base type of a domain, logical replication the
 * domain itself; so domains are looked up in the catalog, once for each connection.
 */
export class TypeCatalog {
  readonly #overrides: CustomTypesConfig;
  readonly #baseTypes = new Map<number, number>();

  constructor(types: CustomTypesConfig | undefined) {
    this.#overrides = new pg.TypeOverrides(types);
  }

  knows(oid: number): boolean {
    return oid < firstUnknownOid || this.#baseTypes.has(oid);
  }

  /** Looks up the OIDs that are not known yet. */
  async resolve(client: Client, oids: Iterable<number>): Promise<void> {
    const unknown = [...new Set(oids)].filter((oid) => !this.knows(oid));
    if (unknown.length === 0) return;
    const { rows } = await client.query<{ oid: number; base: number }>(baseTypesQuery, [unknown]);
    for (const oid of unknown) this.#baseTypes.set(oid, oid); // a type that was dropped since has no row
    for (const { oid, base } of rows) this.#baseTypes.set(oid, base);
  }

  /** The type that pg is told in place of a domain. */
  baseType(oid: number): number {
    return this.#baseTypes.get(oid) ?? oid;
  }

  parser(oid: number): Parser {
    return this.#overrides.getTypeParser(this.baseType(oid), 'text') as Parser;
  }
}

const baseTypesQuery = `
  with recursive step(oid, base, kind, next) as (
    select t.oid, t.oid, t.typtype, t.typbasetype from pg_catalog.pg_type t where t.oid = any ($1::pg_catalog.oid[])
    union all
    select s.oid, t.oid, t.typtype, t.typbasetype from step s join pg_catalog.pg_type t on t.oid = s.next where s.kind = 'd'
  )
  select oid, base from step where kind <> 'd'`;
