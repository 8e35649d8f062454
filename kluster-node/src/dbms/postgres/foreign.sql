-- {app} and {read} stand for the names of the two roles, as texts.
do $$
declare
    app constant name := {app};
    read constant name := {read};
    item record;
begin
    for item in select n.nspname as name from pg_catalog.pg_namespace n
               where n.nspname not like 'pg\_%' and n.nspname not in ('information_schema', 'kluster_state', 'kluster')
                 and not pg_catalog.pg_has_role(app, n.nspowner, 'usage')
    loop
        begin
            execute pg_catalog.format('grant usage, create on schema %I to %I', item.name, app);
            execute pg_catalog.format('grant usage on schema %I to %I', item.name, read);
        exception when insufficient_privilege then
            raise warning 'no right to grant on schema %', item.name;
        end;
    end loop;
    for item in select n.nspname as schema, c.relname as name, case c.relkind when 'S' then 'sequence' else 'table' end as kind
                from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
               where n.nspname not like 'pg\_%' and n.nspname not in ('information_schema', 'kluster_state', 'kluster')
                 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relowner <> (select r.oid from pg_catalog.pg_roles r where r.rolname = app)
                 and not (case c.relkind when 'S' then pg_catalog.has_sequence_privilege(app, c.oid, 'usage')
                                         else pg_catalog.has_table_privilege(app, c.oid, 'insert') end
                          and pg_catalog.has_table_privilege(read, c.oid, 'select'))
    loop
        begin
            execute pg_catalog.format('grant all on %s %I.%I to %I', item.kind, item.schema, item.name, app);
            execute pg_catalog.format('grant select on %s %I.%I to %I', item.kind, item.schema, item.name, read);
        exception when insufficient_privilege then
            raise warning 'no right to grant on %.%', item.schema, item.name;
        end;
    end loop;
end
$$;
