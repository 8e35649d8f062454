-- Kluster's own schema, version 1. Executed by the owner at every start, as one transaction; each statement can be repeated.
-- Names inside functions are qualified and their search_path is fixed, so that no table, function or operator of a user is ever meant.
create schema if not exists kluster_state;
revoke all on schema kluster_state from public;
-- Reserved for functions that stand in for the server's own, so that no user takes the name first.
create schema if not exists kluster;
revoke all on schema kluster from public;

create table if not exists kluster_state.about (
    key text primary key,
    value text not null
);
insert into kluster_state.about (key, value) values ('schema_version', '1') on conflict (key) do nothing;

-- One row. Rewritten by every batch: room on the page keeps the new version beside the old one, so that no index is touched.
create table if not exists kluster_state.state (
    id int primary key check (id = 1),
    applied bigint,
    state text
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
insert into kluster_state.state (id) values (1) on conflict (id) do nothing;

-- One row per batch. Batches do not overlap, so the order of `last` is the order of `first`.
create table if not exists kluster_state.outcomes (
    first bigint primary key,
    last bigint not null,
    outcomes text not null,
    rows text
);
create unique index if not exists outcomes_last on kluster_state.outcomes (last);
create index if not exists outcomes_with_rows on kluster_state.outcomes (last) where rows is not null;

-- SHA-256 of the secret of the process that owns the database now.
create table if not exists kluster_state.secret (
    id int primary key check (id = 1),
    hash bytea not null
);

-- Each function below compares the secret itself: a call of a function that did so would cost as much as the rest.
drop function if exists kluster_state.check_secret(text);

-- Locks the state row and raises unless its applied offset is the predecessor.
create or replace function kluster_state.claim(secret text, predecessor bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    held bigint;
begin
    if not exists (
        select from kluster_state.secret s
         where s.hash operator(pg_catalog.=) pg_catalog.sha256(pg_catalog.convert_to(claim.secret, 'UTF8'))
    ) then
        raise exception 'another process has taken over this database' using errcode = 'KL002';
    end if;
    select s.applied into strict held from kluster_state.state s where s.id operator(pg_catalog.=) 1 for update;
    if held is distinct from predecessor then
        raise exception 'applied offset is % where % was expected', held, predecessor using errcode = 'KL001';
    end if;
end
$$;

-- Writes the state and the outcomes of one batch, and deletes what is not remembered any longer.
create or replace function kluster_state.finish(
    secret text, predecessor bigint, new_applied bigint, new_state text,
    first_offset bigint, last_offset bigint, new_outcomes text, new_rows text,
    prune_below bigint, drop_rows_below bigint
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (
        select from kluster_state.secret s
         where s.hash operator(pg_catalog.=) pg_catalog.sha256(pg_catalog.convert_to(finish.secret, 'UTF8'))
    ) then
        raise exception 'another process has taken over this database' using errcode = 'KL002';
    end if;
    update kluster_state.state s set applied = new_applied, state = new_state
     where s.id operator(pg_catalog.=) 1 and s.applied is not distinct from predecessor;
    if not found then
        raise exception 'applied offset is not %', predecessor using errcode = 'KL001';
    end if;
    if first_offset is not null then
        insert into kluster_state.outcomes (first, last, outcomes, rows)
        values (first_offset, last_offset, new_outcomes, new_rows);
    end if;
    if prune_below is not null then
        delete from kluster_state.outcomes o where o.last operator(pg_catalog.<) prune_below;
    end if;
    if drop_rows_below is not null then
        update kluster_state.outcomes o set rows = null
         where o.rows is not null and o.last operator(pg_catalog.<) drop_rows_below;
    end if;
end
$$;

-- The columns that identify the rows of each table, from this offset on: what the server's log does not say of a change. A row where they changed.
create table if not exists kluster_state.keys (
    at bigint primary key,
    keys jsonb not null
);

-- Notes the keys as they are now, if they are not those noted last; forgets those that no reader of the log is as far behind as to need.
create or replace function kluster_state.note_keys(at_offset bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from kluster_state.keys k
     where k.at < (select o.at from kluster_state.keys o order by o.at desc offset 1000 limit 1);
    with now as (
        select coalesce(jsonb_object_agg(t.name, t.key), '{}') as keys
          from (select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
                       jsonb_agg(quote_ident(a.attname) order by a.attnum) as key
                  from pg_class c
                  join pg_namespace n on n.oid = c.relnamespace
                  join pg_index i on i.indrelid = c.oid
                  join pg_attribute a on a.attrelid = c.oid and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])
                 where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'pg_toast', 'kluster_state')
                   and case c.relreplident when 'i' then i.indisreplident when 'n' then false else i.indisprimary end
                 group by 1) t
    )
    insert into kluster_state.keys (at, keys)
    select at_offset, now.keys from now
     where now.keys is distinct from (select k.keys from kluster_state.keys k order by k.at desc limit 1)
        on conflict on constraint keys_pkey do update set keys = excluded.keys;
$$;

-- Notes the last offset whose request ran alone and may have changed the schema.
create or replace function kluster_state.schema_changed(secret text, at_offset bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (
        select from kluster_state.secret s
         where s.hash operator(pg_catalog.=) pg_catalog.sha256(pg_catalog.convert_to(schema_changed.secret, 'UTF8'))
    ) then
        raise exception 'another process has taken over this database' using errcode = 'KL002';
    end if;
    insert into kluster_state.about as a (key, value) values ('schema_changed', at_offset::pg_catalog.text)
        on conflict on constraint about_pkey do update set value = excluded.value;
    perform kluster_state.note_keys(at_offset);
end
$$;

-- The state row as the reader's snapshot holds it.
create or replace function kluster_state.held() returns table (applied bigint, state text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.applied, s.state from kluster_state.state s where s.applied is not null
$$;

revoke all on all tables in schema kluster_state from public;
revoke all on all functions in schema kluster_state from public;
