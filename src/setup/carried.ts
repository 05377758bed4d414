/**
 * The tables that a publication (`p`) carries, for any reason, as in pg_publication_tables. From PostgreSQL 16 that view opens each
 * table, and so waits for a migration that has locked one. The catalogs do not.
 */
export const carriedTables = (publicationsOfSchemas: boolean): string => `
  with recursive named(oid) as (
    select c.oid from pg_catalog.pg_class c
    -- like is_publishable_class() of PostgreSQL: permanent tables of users
    where c.relkind in ('r', 'p') and c.relpersistence = 'p' and c.oid >= '16384'
      and (p.puballtables
           or c.oid in (select r.prrelid from pg_catalog.pg_publication_rel r where r.prpubid = p.oid)
           ${publicationsOfSchemas ? 'or c.relnamespace in (select s.pnnspid from pg_catalog.pg_publication_namespace s where s.pnpubid = p.oid)' : ''})
  ), below(oid) as (
    select i.inhrelid from named t join pg_catalog.pg_inherits i on i.inhparent = t.oid
    join pg_catalog.pg_class c on c.oid = i.inhrelid where c.relispartition
    union
    select i.inhrelid from below b join pg_catalog.pg_inherits i on i.inhparent = b.oid
  )
  -- With publish_via_partition_root: the named tables, unless an ancestor is named. Without it: all tables that hold rows.
  select oid from named where p.pubviaroot and oid not in (select oid from below)
  union
  select c.oid from (select oid from named union select oid from below) t join pg_catalog.pg_class c on c.oid = t.oid
  where not p.pubviaroot and c.relkind = 'r'`;
