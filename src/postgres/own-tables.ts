import type { Client, CustomTypesConfig, QueryResult } from 'pg';
import { WatchError } from '../errors.ts';
import { isPlain, oneLine } from '../printable.ts';

export type OwnTable = 'dead_letters' | 'positions' | 'existing' | 'attempts';

/** The tables that passed the check in a session. Only trusted roles could change them since. */
const checked = new WeakMap<Client, Set<OwnTable>>();
/** The session may belong to a handler, and have the application's parsers. */
const types = { getTypeParser: () => (text: string) => text } as CustomTypesConfig;

/**
 * Refuses to use one of walwatch's tables if an untrusted role owns it or its schema, or can otherwise make its users run that role's
 * code. A role that may create schemas could create both long before walwatch does. A table that does not exist passes.
 *
 * @throws WatchError PERMISSION
 */
export async function checkOwnTable(client: Client, table: OwnTable): Promise<void> {
  const error = await foreignTable(client, table);
  if (error) throw error;
}

/** The same check, but returns the error. */
export async function foreignTable(client: Client, table: OwnTable): Promise<WatchError | undefined> {
  const known = checked.get(client) ?? new Set();
  if (known.has(table)) return undefined;
  // Several statements in one query are one transaction. The search path ends with it, even in a session that is not walwatch's.
  const text = `select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true); ${query(table)}`;
  const results: unknown = await client.query({ text, types });
  const [row] = (results as QueryResult<{ present: string; flaws: string }>[])[1]!.rows;
  const flaws: Flaw[] = JSON.parse(row!.flaws);
  // An untrusted role's object is renamed as a whole: with another owner it would still have its triggers.
  const rank = Math.min(...flaws.map((flaw) => flaw.rank));
  const statements = flaws.filter((flaw) => flaw.rank === rank || rank > 2).map(({ statement }) => statement);
  if (row!.present === 't' && flaws.length === 0) checked.set(client, known.add(table));
  if (flaws.length === 0) return undefined;
  return new WatchError(
    'PERMISSION',
    `walwatch.${table} is not used, because another role could run its code with the rights of whoever uses it: ${flaws.map(({ what }) => oneLine(what)).join('; ')}`,
    {
      solution:
        `If that role is your worker's, connect as it, or make it a member of the owner of the database. Otherwise find out who created these objects, and inspect them; ` +
        (statements.every(isPlain)
          ? `then let that role or a superuser run: ${statements.join(' ')}`
          : 'their names contain control characters: look them up in the catalogs.'),
    },
  );
}

export async function isPresent(client: Client, table: OwnTable): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'walwatch' and c.relname = $1`,
    [table],
  );
  return rowCount === 1;
}

interface Flaw {
  /** 1: of the schema, 2: of a table, above: of what belongs to a table. */
  readonly rank: number;
  /** `the table walwatch.positions belongs to the role 'mallory'` */
  readonly what: string;
  /** The statement that removes the flaw. */
  readonly statement: string;
}

/**
 * Trusted are: this role and the roles it is a member of; superusers, also a provider's; the owner of the database and its members;
 * and a role to which an owner granted a right on a table. Everything that PostgreSQL runs for a table (triggers, rules, policies,
 * defaults, constraints, indexes) depends on the table in pg_depend, and in turn on the functions, operators and types that it uses.
 */
const query = (table: OwnTable) => `
  with recursive
    trusted(oid) as (
      select r.oid from pg_roles r
      where r.rolsuper or r.rolname in (current_user, 'pg_database_owner')
        or exists (select from pg_roles o where pg_has_role(r.oid, o.oid, 'member')
                   and (o.rolname in ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')
                        or o.oid = (select datdba from pg_database where datname = current_database())))
        -- PostgreSQL counts a superuser as a member of every role
        or (pg_has_role(r.oid, 'member')
            and not exists (select from pg_roles where rolname in (current_user, session_user) and rolsuper))
    ),
    -- with the tables that inherit from it: PostgreSQL reads and writes their rows as well
    family(oid) as (
      select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'walwatch' and c.relname = '${table}'
      union
      select i.inhrelid from family f join pg_inherits i on i.inhparent = f.oid
    ),
    part(classid, objid) as (
      select 'pg_class'::regclass::oid, oid from family
      union
      select d.classid, d.objid from part p join pg_depend d
        on d.refclassid = p.classid and d.refobjid = p.objid and d.deptype in ('a', 'i')
    ),
    code(classid, objid, owner) as (
      select 'pg_proc'::regclass::oid, oid, proowner from pg_proc
      union all select 'pg_operator'::regclass, oid, oprowner from pg_operator
      union all select 'pg_opclass'::regclass, oid, opcowner from pg_opclass
      union all select 'pg_type'::regclass, oid, typowner from pg_type
    ),
    flaw(rank, what, statement) as (
      select 1, format('the schema walwatch belongs to the role %L', pg_get_userbyid(nspowner)),
             'ALTER SCHEMA walwatch RENAME TO walwatch_of_a_stranger;'
      from pg_namespace where nspname = 'walwatch' and nspowner not in (select oid from trusted)
      union all
      select 2, case when c.relkind in ('r', 'p') then format('the table %s belongs to the role %L', c.oid::regclass, pg_get_userbyid(c.relowner))
                else format('%s, of the role %L, is not a table', pg_describe_object('pg_class'::regclass, c.oid, 0), pg_get_userbyid(c.relowner)) end,
             coalesce((select format('ALTER TABLE %s NO INHERIT %s;', c.oid::regclass, inhparent::regclass) from pg_inherits where inhrelid = c.oid limit 1),
                      format('ALTER TABLE %s RENAME TO %I;', c.oid::regclass, c.relname || '_of_a_stranger'))
      from family f join pg_class c on c.oid = f.oid
      where c.relkind not in ('r', 'p') or c.relowner not in (select oid from trusted)
      union all
      select 3, format('there is the %s', pg_describe_object('pg_rewrite'::regclass, w.oid, 0)),
             format('DROP RULE %I ON %s;', w.rulename, w.ev_class::regclass)
      from family f join pg_class c on c.oid = f.oid join pg_rewrite w on w.ev_class = c.oid where c.relkind in ('r', 'p')
      union all
      select 3, format('%s has row security', f.oid::regclass), format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY;', f.oid::regclass)
      from family f where row_security_active(f.oid)
      union all
      select 4, format('%s uses %s of the role %L', pg_describe_object(p.classid, p.objid, 0),
                       pg_describe_object(c.classid, c.objid, 0), pg_get_userbyid(c.owner)),
             coalesce((select format('DROP TRIGGER %I ON %s;', t.tgname, t.tgrelid::regclass) from pg_trigger t
                       where p.classid = 'pg_trigger'::regclass and t.oid = p.objid),
                      (select format('DROP %s %s CASCADE;', upper(i.type), i.identity) from pg_identify_object(c.classid, c.objid, 0) i))
      from part p join pg_depend d on d.classid = p.classid and d.objid = p.objid
      join code c on c.classid = d.refclassid and c.objid = d.refobjid
      where c.owner not in (select oid from trusted)
        and not exists (select from part own where own.classid = c.classid and own.objid = c.objid)
    )
  select exists (select from family) as present,
         coalesce((select json_agg(json_build_object('rank', rank, 'what', what, 'statement', statement) order by rank, what) from flaw), '[]') as flaws`;
