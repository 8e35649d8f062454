//! Statements beside calls of functions: the kinds that a DBMS knows, filled with tables, columns and numbers that are drawn.

use crate::record::pick;
use kluster_sql::{Dialect, ORDER_FORMS};
use rand::RngExt;
use rand::rngs::StdRng;

/// What every node holds before the first statement.
pub fn schema(dialect: Dialect) -> Vec<String> {
    let columns = "grp integer, due integer, name varchar(40), amount double precision";
    let (text, counted) = match dialect {
        Dialect::Postgres => {
            ("text", "create table counted (id integer, at timestamptz, day date, n numeric, j jsonb, c char(4))")
        }
        Dialect::MariaDb => (
            "longblob",
            "create table counted (id integer, at timestamp null, day date, n decimal(20, 5), j json, c char(4))",
        ),
        Dialect::Sqlite => ("text", "create table counted (id integer, at text, day text, n numeric, j, c)"),
    };
    vec![
        format!("create table item (id varchar(20) not null primary key, {columns})"),
        format!("create table archive (id varchar(20) not null primary key, {columns})"),
        format!("create table loose (id varchar(20), {columns})"),
        "create table child (id integer not null primary key, item varchar(20) references item (id) on delete cascade on update cascade)".to_owned(),
        format!("create table result (n integer, v {text}, a {text}, b {text}, c {text})"),
        counted.to_owned(),
    ]
}

/// The tables of [`schema`].
pub const TABLES: [&str; 6] = ["item", "archive", "loose", "child", "result", "counted"];

const EVERY: &[&str] = &[
    "update {t} set {c} = {k} where {d} = {k}",
    "update {t} set name = coalesce(name, id) where grp = {k}",
    "update {t} set due = due + 1 where due > {k}",
    "update item set id = id || 'x' where due = {k}",
    "delete from {t} where {c} = {k} and {d} > {k}",
    "insert into loose select * from {t} where grp = {k}",
    "insert into archive select id || '-{n}', grp, due, name, amount from item where due >= {k}",
    "insert into result (n, v) select {n}, {g}({c}) from {t}",
    "insert into result (n, v) select {n}, {g}({c}) from {t} group by {d}",
    "insert into result (n, v) select {n}, {g}(distinct {c}) from {t}",
    "insert into result (n, v) select distinct {n}, {c} from {t}",
    "insert into result (n, v) select {n}, {c} from {t} order by {d} limit {k}",
    "insert into result (n, v) select {n}, {c} from {t} limit {k} offset 1",
    "insert into result (n, v) select {n}, a.name from {t} a join {t} b on a.grp = b.due order by b.due limit {k}",
    "insert into result (n, v) select {n}, (select {c} from {t} where grp = {k} limit 1)",
    "insert into result (n, v) select {n}, (select {c} from {t} where grp = {k} order by {d} limit 1) from item",
    "insert into result (n, v) select {n}, x.{c} from (select * from {t} order by {d} limit 4) as x",
    "insert into result (n, v) select {n}, {w}() over (order by {c}) from {t}",
    "insert into result (n, v) select {n}, {w}() over (partition by {c} order by {d}, id) from item",
    "insert into result (n, v) select {n}, lag({c}) over (order by {d}) from {t}",
    "insert into result (n, v) select {n}, sum(due) over (order by {c}) from {t}",
    "insert into result (n, v) select {n}, sum(amount) over (order by {c}) from item",
    "insert into result (n, v) select {n}, {c} from {t} union select {n}, {d} from {t}",
    "insert into result (n, v) select {n}, {c} from {t} union all select {n}, {d} from {t} order by 2 limit {k}",
    "insert into result (n, v) select {n}, {c} from {t} except select {n}, {d} from archive",
    "insert into result (n, v) with x as (select {c} as y, count(*) as z from {t} group by {c}) select {n}, y from x where z > {k}",
    "insert into result (n, v) with recursive r(i) as (select 1 union all select i + 1 from r where i < 20) select {n}, i from r",
    "insert into result (n, v) select {n}, case when {c} = {k} then {d} else {c} end from {t}",
    "insert into child select {n}, id from item where due = {k} limit 1",
    "insert into child values ({n}, 'nowhere')",
    "insert into child select due + 10 * grp, id from item where due < 3",
    "update child set id = id + 1",
    "delete from item where id in (select id from item where grp = {k} order by due limit 1)",
    "delete from item where id in (select id from (select id, row_number() over (partition by {c} order by {d}) r from item) x where r > 1)",
    "insert into item values ('k1', 1, 1, 'again', 0)",
    "insert into item (id, grp) values ('z{n}', {k}), ('y{n}', 9 / ({k} - 1))",
    "select {c}, {g}({d}) from {t} group by {c}",
    "select * from {t} order by {c}",
    "create table made (id integer primary key, a integer)",
    "create table made as select {c} as a from {t}",
    "create index by_{c} on {t} ({c})",
    "drop index by_{c}",
    "drop table made",
    "drop table {t}x",
    "alter table made add column b integer",
    "alter table made drop column b",
    "create view seen as select {c} as a from {t}",
    "insert into result (n, v) select {n}, a from seen",
    "drop view seen",
    "insert into counted (id, at) values ({n}, 'now')",
    "insert into counted (id, day) values ({n}, '2024-02-29')",
    "insert into counted (id, n) values ({n}, 1.50)",
    "insert into counted (id, c) select {n}, name from {t}",
    "insert into counted (id, at) select {n}, name from {t} where grp = {k}",
    "select 1 from nowhere",
    "selec 1",
];

const POSTGRES: &[&str] = &[
    "update item set name = l.name from loose l where l.grp = item.grp",
    "update item set name = (select l.name from loose l where l.grp = item.grp limit 1)",
    "delete from item using loose l where l.id = item.id and l.due = {k}",
    "insert into archive select name, grp, due, name, amount from {t} where name <> '' on conflict do nothing",
    "insert into archive select id, grp, due, name, amount from {t} on conflict (id) do update set name = excluded.name",
    "insert into item values ('k{k}', 1, 1, 'x', 0) on conflict (id) do update set due = item.due + 1 returning *",
    "with moved as (delete from item where due = {k} returning *) insert into loose select * from moved",
    "with x as (update item set due = due + 1 where grp = {k} returning {c}) insert into result (n, v) select {n}, {c} from x",
    "merge into archive a using item i on a.id = i.id when matched then update set name = i.name when not matched then insert values (i.id, i.grp, i.due, i.name, i.amount)",
    "insert into result (n, v) select {n}, string_agg(name, ',') from {t}",
    "insert into result (n, v) select {n}, array_agg({c} order by {d})::text from {t}",
    "insert into result (n, v) select {n}, array(select {c} from {t} where grp = {k})::text",
    "insert into result (n, v) select distinct on ({c}) {n}, {d} from {t} order by {c}",
    "insert into result (n, v) select {n}, x::text from {t} as x order by {c} limit {k}",
    "insert into result (n, v) select {n}, row_to_json(x)::text from {t} as x order by {c} fetch first {k} rows with ties",
    "insert into result (n, v) select {n}, i.id from item i, lateral (select name from loose l where l.grp = i.grp limit 1) y",
    "insert into result (n, v) select {n}, percentile_cont(0.5) within group (order by {c}) from {t}",
    "insert into result (n, v) select {n}, mode() within group (order by {c}) from {t}",
    "insert into result (n, v) select {n}, {c} from {t} tablesample system (50)",
    "insert into result (n, v) select {n}, ctid::text from {t}",
    "insert into result (n, v) select {n}, max({c}) over w from {t} window w as (order by {d} groups between 1 preceding and current row)",
    "insert into counted (id, at) values ({n}, ('no' || 'w')::timestamptz)",
    "insert into counted (id, at) select {n}, name::timestamptz from {t} where grp = {k}",
    "insert into counted (id, at) select {n}, at from jsonb_populate_record(null::counted, '{\"at\": \"now\"}')",
    "insert into counted (id, j) select {n}, jsonb_agg(to_jsonb(x)) from {t} x",
    "insert into counted (id, n) select {n}, min(v) from (values (1.0), (1.00)) as s(v)",
    "do $$ declare r record; begin for r in select {c} as x from {t} loop insert into result (n, v) values ({n}, r.x::text); end loop; end $$",
    "do $$ declare x text; begin select name into x from {t} where grp = {k}; insert into result (n, v) values ({n}, x); end $$",
    "do $$ begin execute 'insert into counted (id, at) values ({n}, ''no' || 'w'')'; end $$",
    "do $$ begin perform 1 / (due - {k}) from {t}; end $$",
    "create function called() returns text language sql as 'select name from loose'",
    "create function called() returns text language plpgsql as $$ begin return (select max(name) from item); end $$",
    "insert into result (n, v) select {n}, called()",
    "drop function called()",
    "create type mood as enum ('sad', 'ok')",
    "drop type mood",
    "create materialized view kept as select {c} from {t}",
    "refresh materialized view kept",
    "insert into result (n, v) select {n}, kept::text from kept",
    "drop materialized view kept",
    "truncate result",
    "create rule r as on insert to counted do also insert into result (n, v) values ({n}, 'rule')",
    "drop rule r on counted",
    "comment on table item is 'x{n}'",
    "analyze item",
    "vacuum",
    "explain select 1",
    "explain analyze delete from loose where grp = {k}",
    "lock table item",
    "set timezone = 'UTC'",
    "notify x",
    "listen x",
    "copy item to stdout",
    "declare c cursor for select 1",
    "insert into result (n, v) select {n}, relname from pg_class",
    "insert into result (n, v) select {n}, setting from pg_settings",
    "insert into result (n, v) values ({n}, 'item'::regclass::oid::text)",
];

const MARIADB: &[&str] = &[
    "update item set name = 'q' where grp = {k} order by {c} limit 1",
    "delete from {t} where grp = {k} order by {c} limit 1",
    "update item i join loose l on l.grp = i.grp set i.name = l.name",
    "update item i join loose l on l.id = i.id set i.due = l.due + {k}",
    "delete i from item i join loose l on l.id = i.id where l.due = {k}",
    "insert ignore into archive select coalesce(name, 'n'), grp, due, name, amount from {t}",
    "replace into archive select * from {t}",
    "insert into item values ('k{k}', 1, 1, 'x', 0) on duplicate key update due = due + 1",
    "insert into archive select * from item on duplicate key update name = values(name)",
    "insert into result (n, v) select {n}, group_concat({c}) from {t}",
    "insert into result (n, v) select {n}, group_concat({c} order by {d} separator ';') from {t} group by grp",
    "insert into result (n, v) select {n}, json_arrayagg({c}) from {t}",
    "insert into result (n, v) select {n}, {c} from {t} group by {d}",
    "insert into result (n, v) select sql_buffer_result {n}, {c} from {t}",
    "insert into result (n, v) select {n}, jt.x from json_table('[3, 1, 2]', '$[*]' columns (x int path '$')) jt",
    "insert into result (n, v) select {n}, seq from seq_1_to_5",
    "insert into result (n, v) select {n}, {c} collate utf8mb4_bin from {t} order by {d} limit 2",
    "insert into result (n, v) values ({n}, cast('{k}' as unsigned))",
    "insert into result (n, v) values ({n}, date_add('2024-02-29', interval {k} month))",
    "insert into result (n, v) values ({n}, extract(year_month from '2024-02-29'))",
    "insert into result (n, v) values ({n}, convert('é' using latin1))",
    "insert into counted (id, at) values ({n}, default)",
    "insert into counted (id, j) values ({n}, json_object('a', {k}))",
    "insert into counted (id, n) values ({n}, 1 / 3)",
    "insert into counted (id, c) values ({n}, 'longer than it')",
    "create table made (id int primary key) as select 1 as id union all select 1",
    "create or replace table made (id int)",
    "create trigger tr after delete on archive for each row insert into result (n, v) values ({n}, old.name)",
    "drop trigger tr",
    "create function called() returns int return (select count(*) from item)",
    "insert into result (n, v) select {n}, called()",
    "drop function called",
    "create procedure p() insert into result (n, v) values ({n}, 'p')",
    "call p()",
    "drop procedure p",
    "drop index by_{c} on {t}",
    "truncate table result",
    "analyze table item",
    "check table item",
    "optimize table item",
    "show tables",
    "show create table item",
    "show status",
    "explain select 1",
    "analyze select 1",
    "describe item",
    "set @a = 1",
    "select @a := {k}",
    "lock tables item write",
    "handler item open",
    "flush tables",
    "do sleep(0)",
    "insert into result (n, v) select {n}, variable_value from information_schema.global_variables",
    "insert into result (n, v) select {n}, cardinality from information_schema.statistics",
];

const SQLITE: &[&str] = &[
    "update item set name = l.name from loose l where l.grp = item.grp",
    "insert or ignore into archive select name, grp, due, name, amount from {t}",
    "insert or replace into archive select * from {t} where id is not null",
    "insert into archive select * from item where true on conflict (id) do update set name = excluded.name",
    "insert into item values ('k{k}', 1, 1, 'x', 0) on conflict do update set due = due + 1 returning *",
    "update or ignore item set id = 'same' where grp = {k}",
    "insert into result (n, v) select {n}, group_concat({c}) from {t}",
    "insert into result (n, v) select {n}, string_agg({c}, ';' order by {d}) from {t} group by grp",
    "insert into result (n, v) select {n}, json_group_array({c}) from {t}",
    "insert into result (n, v) select {n}, json_group_object(id, {c}) from {t}",
    "insert into result (n, v) select {n}, {c} from {t} group by {d}",
    "insert into result (n, v) select {n}, max({c}) || {d} from {t}",
    "insert into result (n, v) select {n}, rowid from {t} where grp = {k}",
    "insert into result (n, v) select {n}, value from json_each('[3, 1, 2]')",
    "insert into result (n, v) select {n}, name from pragma_table_info('item')",
    "insert into result (n, v) select {n}, sql from sqlite_schema",
    "insert into result (n, v) select {n}, {c} from {t} indexed by by_{c}",
    "insert into counted (id, at) values ({n}, datetime('now'))",
    "insert into counted (id, at) values ({n}, datetime('no' || 'w'))",
    "insert into counted (id, at) values ({n}, current_timestamp)",
    "insert into counted (id, j) values ({n}, jsonb('{\"a\": {k}}'))",
    "create trigger tr after delete on archive begin insert into result (n, v) values ({n}, old.name); end",
    "drop trigger tr",
    "create virtual table words using fts5(a)",
    "insert into words select name from {t} where name is not null",
    "insert into result (n, v) select {n}, a from words where words match 'a*'",
    "drop table words",
    "reindex",
    "analyze",
    "vacuum",
    "explain query plan select 1",
    "pragma user_version",
    "pragma table_info(item)",
    "attach ':memory:' as x",
    "savepoint x",
];

/// A statement that is no mere call of a function; its rows in `result` carry `n`.
pub fn drawn(rng: &mut StdRng, dialect: Dialect, n: u64) -> String {
    let own = match dialect {
        Dialect::Postgres => POSTGRES,
        Dialect::MariaDb => MARIADB,
        Dialect::Sqlite => SQLITE,
    };
    let forms: Vec<_> = ORDER_FORMS.iter().filter(|form| form.dialects.contains(&dialect)).collect();
    match rng.random_range(0..10) {
        0..2 => pick(rng, &forms).sql.to_owned(),
        2..6 => filled(rng, EVERY, n),
        _ => filled(rng, own, n),
    }
}

fn filled(rng: &mut StdRng, templates: &[&str], n: u64) -> String {
    const COLUMNS: [&str; 5] = ["id", "grp", "due", "name", "amount"];
    let mut sql = pick(rng, templates).replace("{n}", &n.to_string());
    for (place, words) in [
        ("{t}", &["item", "loose", "archive"][..]),
        ("{c}", &COLUMNS[..]),
        ("{d}", &COLUMNS[..]),
        ("{k}", &["0", "1", "2", "3"][..]),
        ("{g}", &["min", "max", "count", "sum", "avg"][..]),
        ("{w}", &["row_number", "rank", "dense_rank", "cume_dist"][..]),
    ] {
        while let Some(at) = sql.find(place) {
            sql.replace_range(at..at + place.len(), pick(rng, words));
        }
    }
    sql
}
