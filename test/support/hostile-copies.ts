/**
 * The objects that a role plants if it may create in a schema of the search path: a copy of everything in pg_catalog that our
 * SQL names, each for the exact types of PostgreSQL's own and for those that fit our arguments better. A copy that runs is
 * detected, even after a rollback, because sequences do not roll back.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from 'pg';
import type { Database } from './database.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Everything that looks like a name in the files that contain our SQL; most of it is TypeScript, which does no harm. */
function namesInSources(): ReadonlySet<string> {
  const files = ['src', 'sql'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(root, folder, file)),
  );
  const text = files.filter((file) => /\.(ts|sql)$/.test(file)).map((file) => readFileSync(file, 'utf8'));
  return new Set(text.join('\n').match(/\b[a-z_][a-z0-9_]*\b/g));
}

/** Types of our arguments and columns, by their names in pg_type. */
const types = [
  'text', 'name', 'varchar', 'char', 'bool', 'int2', 'int4', 'int8', 'numeric', 'float8', 'oid', 'regclass', 'pg_lsn', 'xid', 'xid8', 'json', 'jsonb',
  'timestamptz', 'interval', 'inet', '_text', '_name', '_oid', '_int2', 'int2vector',
]; // prettier-ignore
const operators = ['=', '<>', '<', '>', '<=', '>=', '<<=', '+', '-', '*', '/', '||', '->>'];

/** The expressions that we may pass as a parameter of a PostgreSQL function. */
const better: Readonly<Record<string, readonly string[]>> = {
  text: ['name', 'varchar', 'regclass'], name: ['text', 'varchar'], numeric: ['int4', 'int8', 'float8'], int8: ['int4', 'oid'],
  oid: ['int4', 'regclass'], any: ['text', 'name', 'int4', 'int8', 'oid', 'json'], anyelement: ['text', 'name', 'int8', 'json'],
  anyarray: ['_text', '_int2', '_oid'], anycompatiblearray: ['_text'], anycompatible: ['text'], regclass: ['text', 'oid'],
}; // prettier-ignore

interface Original {
  readonly name: string;
  readonly parameters: readonly string[];
  readonly returned: string;
}

/** As the role that plants them. Returns their number. */
export async function plantCopies(client: Client, schemas: readonly string[]): Promise<number> {
  const names = [...namesInSources()];
  await client.query('set search_path = pg_catalog, pg_temp');
  const { rows: functions } = await client.query<Original>(
    `select p.proname as name, r.typname as returned,
            coalesce((select json_agg(t.typname order by a.i) from unnest(p.proargtypes) with ordinality a(oid, i) join pg_type t on t.oid = a.oid), '[]') as parameters
     from pg_proc p join pg_type r on r.oid = p.prorettype
     where p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any ($1) and p.pronargs <= 5
       and not p.proargtypes::oid[] && array['internal'::regtype, 'cstring'::regtype]::oid[] and r.typname not in ('trigger', 'internal', 'event_trigger')`,
    [names],
  );
  const { rows: relations } = await client.query<{ name: string; columns: string }>(
    `select c.relname as name,
            (select string_agg(format('x.%I', attname), ', ') from pg_attribute
             where attrelid = c.oid and attnum > 0 and not attisdropped and atttypid <> 'anyarray'::regtype) as columns
     from pg_class c where c.relnamespace = 'pg_catalog'::regnamespace and c.relkind in ('r', 'v') and c.relname = any ($1)`,
    [names],
  );
  const statements = new Map<string, string>();
  const add = (what: string, statement: string) => statements.set(what, statements.get(what) ?? statement);
  for (const schema of schemas) {
    for (const one of functions) for (const parameters of parametersOf(one)) evil(add, schema, one.name, parameters, one.returned);
    for (const left of types) for (const right of types) for (const operator of operators) operatorCopy(add, schema, left, operator, right);
    for (const { name, columns } of relations)
      add(`${schema}.${name}`, `create view ${schema}.${name} as select ${columns} from pg_catalog.${name} x where witness.saw('${name}'); grant select on ${schema}.${name} to public`);
    for (const type of types.filter((name) => !name.startsWith('_')))
      add(`${schema}.${type}`, `create domain ${schema}."${type}" as pg_catalog."${type}" check (witness.saw('${type}'))`);
  } // prettier-ignore
  const all = [...statements.values()];
  for (let from = 0; from < all.length; from += 500) await client.query(all.slice(from, from + 500).join(';\n'));
  return all.length;
}

type Add = (what: string, statement: string) => void;

const isPseudo = (type: string) => /^(any\w*|record|void|_record)$/.test(type);

function parametersOf({ parameters }: Original): string[][] {
  let all: string[][] = [[]];
  for (const parameter of parameters) {
    const choices = [parameter, ...(better[parameter] ?? [])];
    all = all.flatMap((before) => choices.map((choice) => [...before, choice])).slice(0, 60);
  }
  // The variadic ones with more arguments.
  const longer =
    parameters.at(-1) === 'any'
      ? all.flatMap((list) => [
          [...list, 'text'],
          [...list, 'name'],
          [...list, 'name', 'text'],
        ])
      : [];
  return [...all, ...longer].filter((list) => !list.some(isPseudo)); // prettier-ignore
}

function operatorCopy(add: Add, schema: string, left: string, operator: string, right: string): void {
  const returned = operator === '||' || operator === '->>' ? 'text' : /^[-+*/]$/.test(operator) ? left : 'bool';
  const name = `operator_${returned}`;
  evil(add, schema, name, [left, right], returned);
  add(
    `${schema}.${left} ${operator} ${right}`,
    `create operator ${schema}.${operator} (function = ${schema}."${name}", leftarg = pg_catalog."${left}", rightarg = pg_catalog."${right}")`,
  );
}

function evil(add: Add, schema: string, name: string, parameters: readonly string[], returned: string): void {
  const list = parameters.map((type) => `pg_catalog."${type}"`).join(', ');
  const result = `pg_catalog."${isPseudo(returned) ? 'text' : returned}"`;
  add(
    `${schema}.${name}(${list})`,
    `create function ${schema}."${name}"(${list}) returns ${result} language plpgsql set search_path = pg_catalog
     as $$ begin perform witness.saw('${name}(${parameters.join(', ')})'); return null::${result}; end $$`,
  );
}

/** By a superuser, before: where copies record that they ran. */
export const witness = `
  create schema witness;
  grant usage on schema witness to public;
  create sequence witness.count;
  create table witness.ran (what pg_catalog.text, role pg_catalog.name);
  grant all on witness.count, witness.ran to public;
  create function witness.saw(what pg_catalog.text) returns pg_catalog.bool language plpgsql set search_path = pg_catalog as $$
    begin
      perform nextval('witness.count');
      insert into witness.ran values (what, session_user);
      return true;
    end $$`;

/** The copies that ran and were committed; `calls` counts the others as well. */
export async function whatRan(db: Pick<Database, 'sql'>): Promise<{ calls: number; names: string[] }> {
  const [row] = await db.sql<{ calls: string; names: string[] }>(
    `select case when is_called then last_value else 0 end as calls,
            coalesce((select json_agg(distinct what || ' as ' || role) from witness.ran), '[]') as names from witness.count`,
  );
  return { calls: Number(row!.calls), names: row!.names };
}
