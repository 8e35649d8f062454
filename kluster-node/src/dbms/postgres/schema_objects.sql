-- The schema as text, one row for each object: names, types and definitions, no object ids, owners, rights or physical facts. Sequences are
-- described without where they are: that is no part of a snapshot. Members of extensions are left out, the extension is named.
with spaces as (
    select oid, nspname from pg_namespace
     where nspname not in ('information_schema', 'kluster', 'kluster_state') and nspname !~ '^pg_'
), members as (
    select classid, objid from pg_depend where deptype = 'e'
), relations as (
    select c.*, s.nspname, format('%I.%I', s.nspname, c.relname) as named
      from pg_class c join spaces s on s.oid = c.relnamespace
     where c.relpersistence <> 't' and not exists (select from members m where m.classid = 'pg_class'::regclass and m.objid = c.oid)
)
select 'schema ' || nspname, '' from spaces
union all
select 'extension ' || extname, extversion from pg_extension
union all
select case r.relkind when 'r' then 'table ' when 'p' then 'table ' when 'v' then 'view ' when 'm' then 'materialized view ' when 'f' then 'foreign table ' else 'type ' end || r.named,
       case when r.relpersistence = 'u' then 'unlogged ' else '' end
       || coalesce((select string_agg(format('%I %s%s%s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                          case when a.attcollation <> t.typcollation then ' collate ' || a.attcollation::regcollation else '' end,
                          case when a.attnotnull then ' not null' else '' end,
                          case a.attidentity when '' then '' else ' identity ' || a.attidentity::text end,
                          case a.attgenerated when '' then '' else ' generated ' || a.attgenerated::text end,
                          coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')), ', ' order by a.attnum)
              from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
             where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped), '')
       || coalesce(' partition by ' || pg_get_partkeydef(r.oid), '')
       || coalesce(' partition ' || pg_get_expr(r.relpartbound, r.oid), '')
       || coalesce((select ' inherits ' || string_agg(inhparent::regclass::text, ', ' order by inhseqno) from pg_inherits where inhrelid = r.oid), '')
       || case when r.relrowsecurity then ' row level security' else '' end || case when r.relforcerowsecurity then ' forced' else '' end
       || case when r.relkind in ('v', 'm') then ' as ' || pg_get_viewdef(r.oid) else '' end
  from relations r where r.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
union all
select 'constraint ' || coalesce(r.named, x.contypid::regtype::text) || ' ' || x.conname, pg_get_constraintdef(x.oid)
  from pg_constraint x left join relations r on r.oid = x.conrelid
 where x.connamespace in (select oid from spaces) and (r.oid is not null or x.contypid <> 0)
union all
select 'index ' || r.named, pg_get_indexdef(r.oid) from relations r where r.relkind in ('i', 'I')
union all
select 'trigger ' || r.named || ' ' || t.tgname, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
  from pg_trigger t join relations r on r.oid = t.tgrelid where not t.tgisinternal
union all
select 'rule ' || r.named || ' ' || w.rulename, pg_get_ruledef(w.oid) from pg_rewrite w join relations r on r.oid = w.ev_class where w.rulename <> '_RETURN'
union all
select 'policy ' || r.named || ' ' || p.polname, concat_ws(' ', p.polcmd::text, p.polpermissive, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
  from pg_policy p join relations r on r.oid = p.polrelid
union all
select 'function ' || p.oid::regprocedure::text, case p.prokind when 'a' then
       (select concat_ws(' ', 'aggregate', aggtransfn::regproc, aggfinalfn::regproc, aggtranstype::regtype, agginitval, aggkind, aggcombinefn::regproc) from pg_aggregate where aggfnoid = p.oid)
       else pg_get_functiondef(p.oid) end
  from pg_proc p join spaces s on s.oid = p.pronamespace
 where not exists (select from members m where m.classid = 'pg_proc'::regclass and m.objid = p.oid)
union all
select 'sequence ' || r.named, concat_ws(' ', q.seqtypid::regtype, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle)
  from pg_sequence q join relations r on r.oid = q.seqrelid
union all
select 'type ' || t.oid::regtype::text, case t.typtype
         when 'e' then (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid)
         when 'd' then concat_ws(' ', format_type(t.typbasetype, t.typtypmod), case when t.typnotnull then 'not null' end, 'default ' || t.typdefault)
         else (select 'range of ' || rngsubtype::regtype from pg_range where rngtypid = t.oid) end
  from pg_type t join spaces s on s.oid = t.typnamespace
 where t.typtype in ('e', 'd', 'r') and not exists (select from members m where m.classid = 'pg_type'::regclass and m.objid = t.oid)
