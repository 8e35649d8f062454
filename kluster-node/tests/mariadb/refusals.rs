//! Errors that are a statement's or a row's own are answers, and what is refused has left nothing behind, DDL included.

use crate::contract::*;
use crate::shared;
use kluster_protocol::ErrorCode;
use kluster_sql::{Dialect, RefusalCode, admit};
use kluster_test_servers::{Place, record_skip};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

#[tokio::test]
async fn a_values_own_error_is_an_answer() {
    let place = shared().await;
    let mut db = open(&place).await;
    for (n, (sql, expected)) in [
        ("select extractvalue('<a/>', '/a[')", ErrorCode::InvalidValue),
        ("select updatexml('<a/>', '//[', 'b')", ErrorCode::InvalidValue),
        ("insert into t values (1, repeat('a', 20000000))", ErrorCode::InvalidValue),
        ("insert into t values (1, uncompress('no such thing'))", ErrorCode::InvalidValue),
        ("insert into t values (1, sformat('{:d}', 'x'))", ErrorCode::InvalidValue),
        ("show binlog events", ErrorCode::PrivilegeViolation),
    ]
    .into_iter()
    .enumerate()
    {
        let ran = one(&mut db, work(1 + n as u64, sql)).await;
        assert_eq!(code(&ran), Some(expected), "{sql}: {ran:?}");
    }
    let columns: Vec<_> = (0..1017).map(|n| format!("c{n} int")).collect();
    let wide = ddl(&db, 20, &format!("create table wide (id int primary key, {})", columns.join(", ")));
    let ran = one(&mut db, wide).await;
    assert_eq!(code(&ran), Some(ErrorCode::InvalidStatement), "{ran:?}");
    assert_eq!(one(&mut db, work(21, "select 1")).await.unwrap().len(), 1);
    db.close().await;
}

#[tokio::test]
async fn a_recursive_query_is_answered_whole() {
    let place = shared().await;
    let mut db = open(&place).await;
    let numbers = "with recursive r(n) as (select 1 union all select n + 1 from r where n < 2000) select";
    let found = query(&mut db, 1, &format!("{numbers} count(*) c, max(n) m from r")).await;
    assert_eq!(found, [json!({"c": 2000, "m": 2000})]);
    one(&mut db, work(2, &format!("insert into t {numbers} n, 'a' from r"))).await.unwrap();
    assert_eq!(query(&mut db, 3, "select count(*) c from t").await, [json!({"c": 2000})]);
    db.close().await;
}

/// A server with a number that the table does not know has a version that nobody has looked at yet.
#[tokio::test]
async fn the_server_has_no_number_that_the_table_does_not_know() {
    let place = shared().await;
    if Place::chosen() != Place::Local {
        return record_skip("the list of a server's errors is a file of the server's, which runs in a container");
    }
    let sets = place.sql("select @@character_sets_dir").await;
    let header = std::fs::read(Path::new(&sets).join("../english/errmsg.sys")).unwrap();
    let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    // At 14 the count of sections, from 32 on the count of numbers in each; the first section begins with 1000.
    let server = (0..usize::from(word(14))).flat_map(|section| {
        let first = 1000 * (section as u16 + 1);
        first..first + word(32 + 2 * section)
    });
    let table = include_str!("../../src/dbms/mariadb/numbers.txt");
    let known: BTreeSet<u16> = table.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    let server: BTreeSet<u16> = server.collect();
    assert!(server.len() > 1200);
    let unknown: Vec<_> = server.difference(&known).collect();
    assert!(unknown.is_empty(), "add to numbers.txt and classify: {unknown:?}");
}

/// Everything in the database: what defines it, and its rows.
async fn everything(place: &crate::Shared) -> String {
    let mut all = String::new();
    for sql in [
        "select group_concat(concat_ws(',', table_name, table_type, engine, table_collation, table_comment) order by 1 separator ';') \
         from information_schema.tables where table_schema = database()",
        "select group_concat(concat_ws(',', table_name, column_name, ordinal_position, column_type, column_default, is_nullable, \
         column_key, extra, generation_expression) order by table_name, ordinal_position separator ';') \
         from information_schema.columns where table_schema = database()",
        "select group_concat(concat_ws(',', table_name, index_name, seq_in_index, column_name, non_unique) \
         order by table_name, index_name, seq_in_index separator ';') from information_schema.statistics where table_schema = database()",
        "select group_concat(concat_ws(',', table_name, constraint_name, constraint_type) order by table_name, constraint_name separator ';') \
         from information_schema.table_constraints where table_schema = database()",
        "select group_concat(concat_ws(',', trigger_name, event_manipulation, event_object_table, action_timing, action_statement) \
         order by trigger_name separator ';') from information_schema.triggers where trigger_schema = database()",
        "select group_concat(concat_ws(',', routine_name, routine_type, routine_definition, routine_comment) \
         order by routine_name, routine_type separator ';') from information_schema.routines where routine_schema = database()",
        "select group_concat(concat_ws(',', table_name, view_definition) order by table_name separator ';') \
         from information_schema.views where table_schema = database()",
        "select group_concat(concat_ws(',', table_name, partition_name, partition_description) order by table_name, partition_name separator ';') \
         from information_schema.partitions where table_schema = database()",
        "select group_concat(concat_ws(',', id, name) order by id separator ';') from t",
        "select group_concat(concat_ws(',', id, t) order by id separator ';') from child",
        "select group_concat(id order by id separator ';') from parted",
    ] {
        all += &place.sql(&format!("set group_concat_max_len = 1000000; {sql}")).await;
        all += "\n";
    }
    all
}

const SCENE: &[&str] = &[
    "create table child (id int primary key, t int not null, constraint to_t foreign key (t) references t (id))",
    "create table parted (id int primary key) partition by range (id) (partition low values less than (10), partition high values less than (20))",
    "create view v as select id from t",
    "create function f(a int) returns int return a + 1",
    "create procedure p() select 1",
    "create trigger r before insert on t for each row set new.name = coalesce(new.name, 'x')",
    "create index by_name on t (name)",
];

/// Each kind of DDL into its late errors: in the middle of copying rows, at a key, at a parent that is missing.
const FAILING: &[&str] = &[
    "create or replace table t (id int, id int)",
    "create or replace table t (id int primary key, x int references nowhere (id))",
    "create or replace table t (id int primary key) as select 1 as id union all select 1",
    "create or replace table t (a varchar(5000), key (a))",
    "create table fresh (id int primary key) as select 1 as id union all select 1",
    "create table fresh (id int) as select id, name, exp(1000) from t",
    "create table fresh (id int, constraint c foreign key (id) references nowhere (id))",
    "create table fresh like nowhere",
    "alter table t add unique (name)",
    "alter table t modify name varchar(1)",
    "alter table t modify name int not null",
    "alter table t add column a int, drop column nowhere",
    "alter table t add constraint positive check (id > 1)",
    "alter table t add primary key (name)",
    "alter table t drop primary key, add primary key (name)",
    "alter table t add column b int not null default 1, add unique (b)",
    "alter table t add constraint loops foreign key (name) references child (id)",
    "alter table t rename to child",
    "alter table t drop index nowhere",
    "alter table t convert to character set ascii, add unique u (name)",
    "alter table child drop foreign key nowhere",
    "alter table child modify t varchar(3)",
    "alter table child add column note int, add constraint to_none foreign key (id) references nowhere (id)",
    "alter table parted add partition (partition less values less than (5))",
    "alter table parted drop partition low, drop partition nowhere",
    "alter table parted reorganize partition low, high into (partition one values less than (12))",
    "alter table parted drop partition nowhere",
    "alter table parted truncate partition nowhere",
    "alter table parted partition by range (id) (partition tiny values less than (3))",
    "drop table t",
    "drop table nowhere",
    "drop view t",
    "truncate table t",
    "rename table t to child",
    "rename table t to fresh, child to parted",
    "create unique index u on t (name)",
    "create or replace index by_name on t (nowhere)",
    "create or replace unique index by_name on t (name)",
    "drop index nowhere on t",
    "create or replace view v as select nowhere from t",
    "create or replace view v as select id, id from t",
    "create or replace view t as select 1",
    "alter view v as select nowhere from t",
    "create or replace function f(a int) returns int begin end",
    "create or replace procedure p() begin declare a int; declare a int; end",
    "create or replace trigger r before insert on nowhere for each row set new.name = 'y'",
    "create or replace trigger r before insert on child for each row set new.t = 1",
    "create or replace trigger r before insert on t for each row set new.nowhere = 'y'",
    "create or replace trigger r after insert on t for each row set new.name = 'y'",
    "create or replace trigger r before insert on t for each row follows nowhere set new.name = 'y'",
    "alter procedure nowhere comment 'a'",
    "drop function nowhere",
    "drop trigger nowhere",
];

#[tokio::test]
async fn refused_means_untouched() {
    let place = shared().await;
    let mut db = open(&place).await;
    let mut offset = 1;
    for sql in SCENE {
        let create = ddl(&db, offset, sql);
        one(&mut db, create).await.unwrap();
        offset += 1;
    }
    for sql in [
        "insert into t values (1, 'same'), (2, 'same'), (3, null)",
        "insert into child values (1, 1), (2, 3)",
        "insert into parted values (1), (11), (19)",
    ] {
        one(&mut db, work(offset, sql)).await.unwrap();
        offset += 1;
    }
    let before = everything(&place).await;
    let mut by_rule = 0;
    for sql in FAILING {
        match admit(Dialect::MariaDb, sql) {
            Err(refusal) => {
                assert_eq!(refusal.code, RefusalCode::NotTransactional, "{sql}: {refusal}");
                by_rule += 1;
            }
            Ok(_) => {
                let failing = ddl(&db, offset, sql);
                let ran = one(&mut db, failing).await;
                assert!(ran.is_err(), "{sql} was to fail");
                offset += 1;
            }
        }
        assert_eq!(everything(&place).await, before, "{sql}");
    }
    assert_eq!(by_rule, 4, "CREATE OR REPLACE TABLE, and nothing else, drops before it can fail");
    db.close().await;
}
