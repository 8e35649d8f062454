//! Every name of every row of the rule table is refused with the row's code, where the row says so.

use kluster_sql::{Dialect, Form, Rule, Scope, admit, admit_read, rules};

/// A text in which a name stands as its rule's form wants it.
fn sample(rule: &Rule, name: &str, dialect: Dialect) -> String {
    let name = if rule.form == Form::Checked { name.to_owned() } else { name.replace('*', "x") };
    match rule.form {
        Form::Call | Form::EmptyCall | Form::PresentCall => format!("select {name}()"),
        Form::SingleCall => format!("select {name}(x)"),
        Form::Keyword if name == "tablesample" => "select 1 from t tablesample system (1)".to_owned(),
        Form::Keyword if name == "auto_increment" => "create table t (a int auto_increment)".to_owned(),
        Form::Keyword | Form::Name => format!("select {name} from t"),
        Form::Qualifier => format!("select a from {name}.t"),
        Form::Type => format!("create table t (a {name})"),
        Form::Phrase if name.starts_with("as row") => format!("create table t (a timestamp generated always {name})"),
        Form::Phrase if name.contains("as identity") => format!("create table t (a int generated {name})"),
        Form::Phrase => format!("alter table t {name} x"),
        Form::Statement => format!("{name} x"),
        Form::Checked => checked(name.as_str(), dialect).to_owned(),
    }
}

/// The samples of rows that a check of their own finds.
fn checked(name: &str, dialect: Dialect) -> &'static str {
    match (name, dialect) {
        ("'now'", _) => "select 'now'::timestamptz",
        ("'today'", _) => "select date 'today'",
        ("'tomorrow'", _) => "select cast('tomorrow' as timestamp)",
        ("'yesterday'", _) => "create table t (a date default 'yesterday')",
        ("sequence =", _) => "create table t (a int) sequence = 1",
        ("::oid", _) => "update t set a = 't'::regclass::oid",
        ("regclass as a number", _) => "update t set a = ('t'::regclass)::int8",
        ("pg_class", _) => "insert into t select relname from pg_catalog.pg_class",
        ("pg_get_viewdef(…)", _) => "insert into t values (pg_catalog.pg_get_viewdef(16390))",
        ("information_schema", _) => "insert into t select table_rows from information_schema.tables",
        ("nowait", _) => "select 1 from t for update nowait",
        ("::xid", _) => "update t set a = '1'::xid",
        ("::xid8", _) => "update t set a = '1'::xid8",
        ("::cid", _) => "update t set a = '1'::pg_catalog.cid",
        ("::tid", _) => "update t set a = '(1,1)'::tid",
        ("@@name", _) => "update t set a = @@server_id",
        ("raise(rollback, …)", _) => "create trigger r after insert on t begin select raise ( rollback, 'x'); end",
        ("/*! … */", _) => "select 1 /*!50001 from t */",
        ("/*M! … */", _) => "select 1 /*M! from t */",
        ("/*+ … */", _) => "select /*+ MAX_EXECUTION_TIME(1) */ 1",
        ("drop … a, b", _) => "drop table if exists a, b",
        ("engine = …", _) => "create table t (a int) engine = MyISAM",
        ("signal", _) => "signal sqlstate '23000'",
        ("resignal", _) => {
            "create trigger r before insert on t for each row begin resignal set mysql_errno = 1205; end"
        }
        ("language …", _) => "create function f() returns int language plperl as 'x'",
        ("uescape", _) => "select U&'d!0061t' uescape '!'",
        ("temp.name", _) => "create table temp.t (a)",
        ("temporary.name", _) => "insert into temporary.t values (1)",
        ("@name", _) => "select @a := 1",
        ("set … (in a body)", _) => "create trigger r before insert on t for each row set global x = 1",
        ("tablespace …", _) => "create table t (a int) tablespace fast",
        ("create virtual table … using …", _) => "create virtual table t using csv(x)",
        ("wait n", _) => "select 1 from t for update wait 5",
        ("definer =", _) => "create definer = `a`@`b` view v as select 1",
        ("limit", Dialect::Postgres) => "insert into t select distinct * from u limit 1",
        ("limit", _) => "delete from t where a in (select * from u join v limit 1)",
        ("offset", Dialect::Postgres) => "insert into t select distinct * from u offset 5",
        ("offset", _) => "insert into t select * from u join v limit 1 offset 5",
        ("fetch first", Dialect::Postgres) => "insert into t select distinct * from u fetch first 1 rows only",
        ("fetch first", Dialect::MariaDb) => "insert into t select * from u join v fetch first 1 rows only",
        ("fetch first", Dialect::Sqlite) => "insert into t select * from u join v limit 1",
        ("distinct on", _) => "insert into t select distinct on (a) * from (u join v using (a))",
        ("array(select …)", _) => "insert into t select array(select distinct * from u)",
        ("row_number", _) => "insert into t select row_number() over (partition by b) from (u join v)",
        ("lag", _) => "insert into t select lag(a) over () from (u join v)",
        ("lead", _) => "insert into t select lead(a) over () from (u join v)",
        ("ntile", _) => "insert into t select ntile(4) over () from (u join v)",
        ("first_value", _) => "insert into t select first_value(a) over () from (u join v)",
        ("last_value", _) => "insert into t select last_value(a) over (order by b) from u",
        ("nth_value", _) => "insert into t select nth_value(a, 2) over () from u",
        ("aggregate over", _) => "insert into t select group_concat(a) over (order by b) from u",
        ("json_objectagg", _) => "insert into t select json_objectagg(a, b) from u",
        ("aggregate of a query", Dialect::MariaDb) => {
            "insert into t select group_concat((select * from u limit 1)) from v"
        }
        ("aggregate of a query", _) => "insert into t select sum((select * from u limit 1)) from v",
        _ => panic!("no sample for the row {name}"),
    }
}

#[test]
fn every_row_refuses_its_names() {
    for rule in rules() {
        for (dialect, name) in rule.dialects.iter().flat_map(|d| rule.names.iter().map(move |name| (*d, *name))) {
            let mut sql = sample(rule, name, dialect);
            if rule.scope == Scope::Writes && sql.starts_with("select") {
                sql = format!("insert into t {sql}");
            }
            let refusal = admit(dialect, &sql).expect_err(&format!("{dialect:?}: {sql}"));
            assert_eq!(refusal.code, rule.code, "{dialect:?}: {sql}: {refusal}");
            assert!(refusal.position.is_some() && !refusal.hint.is_empty(), "{sql}");
        }
    }
}

#[test]
fn rows_hold_only_where_their_scope_says() {
    for rule in rules().filter(|rule| matches!(rule.form, Form::Call | Form::Keyword | Form::Name | Form::Qualifier)) {
        for (dialect, name) in rule.dialects.iter().flat_map(|d| rule.names.iter().map(move |name| (*d, *name))) {
            let sql = sample(rule, name, dialect);
            if sql.starts_with("select") {
                assert_eq!(admit(dialect, &sql).is_err(), rule.scope <= Scope::Ordered, "{dialect:?} ALL: {sql}");
                assert_eq!(
                    admit_read(dialect, &sql).is_err(),
                    rule.scope == Scope::Everywhere,
                    "{dialect:?} ONE: {sql}"
                );
            }
        }
    }
}

#[test]
fn names_in_capitals_quotes_and_behind_schemas_are_the_same_names() {
    for rule in rules().filter(|rule| rule.form == Form::Call && rule.scope == Scope::Everywhere) {
        for (dialect, name) in rule.dialects.iter().flat_map(|d| rule.names.iter().map(move |name| (*d, *name))) {
            let name = name.replace('*', "x");
            let quote = if dialect == Dialect::MariaDb { '`' } else { '"' };
            for sql in [
                format!("select {} ( )", name.to_uppercase()),
                format!("select {quote}{name}{quote}/* x */(1)"),
                format!("select pg_catalog . {name}\n-- x\n(1)"),
            ] {
                assert!(admit_read(dialect, &sql).is_err(), "{dialect:?}: {sql}");
            }
        }
    }
}
