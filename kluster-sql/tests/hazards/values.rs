//! Values that differ between nodes: clocks, chance, counters, and what only one node knows.

use kluster_sql::Dialect::{MariaDb, Postgres, Sqlite};
use kluster_sql::RefusalCode::*;

use crate::{refused, taken};

#[test]
fn postgres_clock_functions() {
    refused(
        Postgres,
        Clock,
        &[
            "insert into t values (now())",
            "select pg_catalog.now()",
            "select \"pg_catalog\" . \"now\" ()",
            "select U&\"n\\006Fw\"()",
            "create table t (at timestamptz default now())",
            "alter table t alter at set default transaction_timestamp()",
            "create view v as select statement_timestamp()",
            "update t set a = extract(epoch from clock_timestamp())",
            "select timeofday()",
            "create trigger stamp before update on t for each row execute function moddatetime(at)",
            "select age(a) from t",
            "select age ((select max(a) from t))",
        ],
    );
    taken(Postgres, &["select age(a, b) from t"]);
}

#[test]
fn postgres_clock_keywords() {
    refused(
        Postgres,
        Clock,
        &[
            "insert into t values (current_timestamp)",
            "select CURRENT_TIMESTAMP(3)",
            "select current_date, current_time",
            "create table t (a date default current_date)",
            "select localtime",
            "select localtimestamp(0)",
        ],
    );
    taken(Postgres, &["select t.current_date, a as current_time, \"current_timestamp\" from t"]);
}

#[test]
fn postgres_strings_that_mean_the_present() {
    refused(
        Postgres,
        Clock,
        &[
            "select 'now'::timestamptz",
            "select ' NOW '::timestamp(0)",
            "select timestamp with time zone 'today'",
            "select timestamp(3) 'today 10:00'",
            "select date 'tomorrow'",
            "select cast('yesterday' as pg_catalog.date)",
            "select timestamptz('now')",
            "select 'now'::text::timestamptz",
            "select (('now'))::timestamptz",
            "select 'now'::varchar(10)::date",
            "select '[now,)'::tstzrange",
            "select $$now$$::time",
            "select E'n\\x6fw'::timetz",
            "select U&'n\\006fw'::timestamptz",
            "select 'n' -- joined\n 'ow'::timestamptz",
            "create table t (a timestamptz default 'now')",
        ],
    );
    taken(
        Postgres,
        &[
            "insert into t values ('now', 'Yesterday')",
            "select 'now'::text",
            "create table t (a text default 'now'::text)",
            "select 'snow'::date",
        ],
    );
}

#[test]
fn clocks_in_bodies() {
    refused(
        Postgres,
        Clock,
        &[
            "do $$ begin insert into t values (now()); end $$",
            "do 'begin insert into t values (now()); end'",
            "do language plpgsql E'begin perform n\\x6fw(); end'",
            "create or replace function f() returns trigger language plpgsql as $f$ begin new.at := current_timestamp; return new; end $f$",
            "create function f() returns timestamptz language sql return now()",
            "create function f() returns timestamptz language sql begin atomic select now(); end",
            "create procedure p() language plpgsql as 'begin execute ''insert into t values (now())''; end'",
            "do $$ begin execute format($q$ update %I set at = now() $q$, 't'); end $$",
            "do $a$ begin execute 'do $b$ begin execute ''select now()''; end $b$'; end $a$",
            "create function f() returns trigger language plpgsql as $f$ begin new.at := 'now'; return new; end $f$",
            "create function f() returns trigger language plpgsql as $f$ begin new.at = ' Today'; return new; end $f$",
            "create function f() returns timestamptz language plpgsql as $f$ begin return 'now'; end $f$",
        ],
    );
    refused(MariaDb, Clock, &["create trigger r before insert on t for each row set new.at = now()"]);
    refused(Sqlite, Clock, &["create trigger r after insert on t begin update t set at = current_timestamp; end"]);
    taken(
        Postgres,
        &[
            "insert into t values ($$now()$$)",
            "comment on table t is 'now()'",
            "do $$ begin if kind = 'today' then kind := 'now'::text; end if; end $$",
        ],
    );
}

#[test]
fn functions_called_by_another_name() {
    refused(Postgres, Environment, &["create operator @@@ (function = pg_catalog.pg_sleep, rightarg = float8)"]);
    refused(Postgres, Clock, &["create aggregate a (text) (sfunc = now, stype = text)"]);
}

#[test]
fn sqlite_clocks() {
    refused(
        Sqlite,
        Clock,
        &[
            "insert into t values (current_timestamp)",
            "create table t (a default current_date)",
            "create table t (a default (datetime('now')))",
            "select date()",
            "select time( ) from t",
            "select datetime('NOW', '+1 day')",
            "select date(\"now\")",
            "select strftime('%Y')",
            "select strftime('%Y', 'now')",
            "select julianday('now') - julianday(a) from t",
            "select unixepoch('subsec')",
            "select timediff('now', a) from t",
            "select [date] ( 'now' )",
        ],
    );
    taken(Sqlite, &["select date(a), datetime($1, '+1 day'), strftime('%s', a), unixepoch(a, 'subsec') from t"]);
}

#[test]
fn mariadb_clocks() {
    refused(
        MariaDb,
        Clock,
        &[
            "insert into t values (NOW(6))",
            "select curdate(), curtime()",
            "select utc_timestamp",
            "select utc_date()",
            "select unix_timestamp( )",
            "create table t (at timestamp default current_timestamp on update current_timestamp)",
            "create table t (at datetime on update now())",
            "select localtime",
            "select sysdate()",
            "create table t (a int) with system versioning",
            "create table t (a int, b timestamp(6) generated always as row start)",
        ],
    );
    taken(MariaDb, &["select unix_timestamp(a) from t", "insert into t values ('now()', \"current_timestamp\")"]);
}

#[test]
fn randomness() {
    refused(
        Postgres,
        Randomness,
        &[
            "select random()",
            "insert into t values (gen_random_uuid())",
            "select uuid_generate_v4()",
            "select setseed(0.5)",
            "select array_shuffle(array[1, 2])",
            "select pg_catalog.array_sample(array[1, 2], 1)",
            "select normal_rand(1, 0, 1)",
            "create table t (a uuid default uuidv7())",
            "insert into t select a from u tablesample bernoulli (10)",
            "select gen_salt('bf')",
        ],
    );
    refused(
        MariaDb,
        Randomness,
        &[
            "select rand()",
            "insert into t values (uuid())",
            "create table t (a uuid default uuid())",
            "select `uuid_short`()",
            "select sys_guid()",
            "select random_bytes(4)",
        ],
    );
    refused(
        Sqlite,
        Randomness,
        &[
            "select random()",
            "insert into t values (randomblob(16))",
            "insert into t values (fts5_locale('en', 'a'))",
            "select a from t order by random ( )",
            "select `random`()",
        ],
    );
}

#[test]
fn auto_ids() {
    refused(
        Postgres,
        AutoId,
        &[
            "create table t (id serial primary key)",
            "create table t (a int, id BIGSERIAL)",
            "create table t (id \"smallserial\")",
            "alter table t add column if not exists id serial8",
            "create table t (id int generated always as identity)",
            "alter table t alter id add generated by default as identity",
            "create sequence s",
            "alter sequence s restart",
            "select nextval('s')",
            "select setval('s', 1)",
            "create table t (id int default nextval('s'))",
            "create schema x create sequence s",
            "do $$ begin create sequence s; end $$",
            "do $$ begin create table t (id serial); end $$",
        ],
    );
    refused(
        MariaDb,
        AutoId,
        &[
            "create table t (id int auto_increment primary key)",
            "create table t (id serial)",
            "alter table t auto_increment = 5",
            "create sequence s",
            "select next value for s",
            "select nextval(s)",
            "create table t (next_not_cached_value int) sequence=1",
        ],
    );
    taken(Sqlite, &["create table t (id integer primary key autoincrement)", "insert into t(rowid, a) values (1, 2)"]);
    taken(Postgres, &["create table t (serial text, code text)", "insert into t (serial) values (1)"]);
}

#[test]
fn what_an_earlier_statement_left() {
    refused(Postgres, SessionState, &["select lastval()", "insert into t values (currval('s'))"]);
    refused(
        MariaDb,
        SessionState,
        &["insert into t values (last_insert_id())", "select row_count()", "select found_rows()"],
    );
    refused(
        Sqlite,
        SessionState,
        &["select changes()", "insert into t values (last_insert_rowid())", "select total_changes()"],
    );
}

#[test]
fn values_of_one_node_in_writes() {
    refused(
        Postgres,
        Environment,
        &[
            "delete from t where ctid = '(0,1)'",
            "update t set a = t.xmin",
            "insert into t select \"tableoid\" from u",
            "insert into t values (txid_current())",
            "insert into t values (pg_backend_pid())",
            "insert into t values (inet_client_addr())",
            "insert into t values (version())",
            "insert into t values (current_setting('port'))",
            "insert into t values (pg_relation_size('t'))",
            "insert into t select calls from pg_stat_statements",
            "insert into t values (current_user)",
            "insert into t values (session_user)",
            "create table t (who text default user)",
            "insert into t values ('t'::regclass::oid)",
            "insert into t values ('t'::regclass::int8)",
            "insert into t values (cast('t'::regclass as bigint))",
            "insert into t values (cast('t' as oid))",
            "insert into t values (int8('t'::regclass))",
            "insert into t values (oid(('t')::regclass))",
            "insert into t values (hashoid('t'::regclass))",
            "insert into t values (regclasssend('t'))",
            "insert into t values (pg_describe_object(1259, 16390, 0))",
            "update t set a = pg_catalog.\"pg_identify_object\"(1259, b, 0)::text",
            "insert into t select oid from pg_class",
            "create table t as select * from pg_catalog.pg_trigger",
            "insert into t select constraint_name from information_schema.table_constraints",
            "insert into t select most_common_vals from pg_stats",
            "insert into t select rolname from pg_roles",
            "insert into t select name from pg_show_all_settings()",
            "insert into t select system_identifier from pg_control_system()",
            "insert into t select name from pg_prepared_statements",
            "insert into t values (hashenum('a'::mood))",
            "insert into t values (pg_catalog.\"session_user\"())",
            "insert into t values (getpgusername())",
            "insert into t select 1 where has_table_privilege('u', 'select')",
            "insert into t values (pg_get_userbyid(10))",
            "insert into t values (pg_column_compression('x'::text))",
            "insert into t values (pg_sequence_last_value('s'))",
            "insert into t values (current_query())",
            "insert into t values (database_to_xml(true, true, ''))",
            "insert into t select * from crosstab('select now()') as c (a text)",
        ],
    );
    refused(
        MariaDb,
        Environment,
        &[
            "insert into t values (connection_id())",
            "insert into t values (version())",
            "insert into t values (@@server_id)",
            "insert into t values (@@global.hostname)",
            "insert into t values (user())",
            "insert into t values (current_user)",
            "insert into t select variable_value from information_schema.global_variables",
            "insert into t select cardinality from information_schema.statistics",
            "insert into t select id from information_schema.processlist",
            "insert into t select host from mysql.user",
        ],
    );
    refused(
        Sqlite,
        Environment,
        &["insert into t values (sqlite_version())", "insert into t select rootpage from sqlite_schema"],
    );
    taken(
        Postgres,
        &[
            "select oid, 't'::regclass::int8 from pg_class",
            "insert into t values ('u'::regclass)",
            "insert into t select a as oid, b as int8 from u",
            "insert into t (a) values (int8(1.5), format_type)",
            "select pg_get_viewdef('v'::regclass), format_type(23, null)",
            "do $$ begin if not pg_table_is_visible('u'::regclass) then create table u (a int); end if; end $$",
            "insert into t values (pg_typeof(1), to_regclass('u') is null)",
            "do $$ begin if not exists (select from pg_type where typname = 'mood') then create type mood as enum ('a'); end if; end $$",
            "create table t (nowait boolean, b int)",
            "update t set nowait = true where t.nowait or nowait",
        ],
    );
    taken(
        MariaDb,
        &["select cardinality from information_schema.statistics", "insert into t (a, nowait) values (1, 2)"],
    );
    taken(Postgres, &["select ctid, version(), current_user, txid_current(), pg_backend_pid() from t"]);
    taken(MariaDb, &["select version(), connection_id(), @@server_id, user()"]);
    taken(Sqlite, &["select sqlite_version()"]);
}
