//! Transactions, and what lives in one session.

use kluster_sql::Dialect;
use kluster_sql::Dialect::{MariaDb, Postgres, Sqlite};
use kluster_sql::RefusalCode::*;

use crate::refused;

#[test]
fn transaction_control() {
    for dialect in Dialect::ALL {
        refused(
            dialect,
            TransactionControl,
            &[
                "begin",
                "BEGIN WORK;",
                "start transaction",
                "commit",
                "/* a */ Commit -- b",
                "end",
                "rollback",
                "rollback to a",
                "savepoint a",
                "release savepoint a",
                "release a",
            ],
        );
    }
    refused(
        Postgres,
        TransactionControl,
        &[
            "abort",
            "prepare transaction 'a'",
            "commit prepared 'a'",
            "rollback prepared 'a'",
            "set transaction read write",
            "set session characteristics as transaction read only",
            "begin isolation level serializable",
        ],
    );
    refused(
        MariaDb,
        TransactionControl,
        &["xa start 'a'", "set autocommit = 0", "set session transaction isolation level serializable", "begin work"],
    );
    refused(
        Sqlite,
        TransactionControl,
        &[
            "begin immediate",
            "insert or rollback into t values (1)",
            "create table t (a unique on conflict rollback)",
            "create trigger r after insert on t begin select raise(rollback, 'x'); end",
        ],
    );
    refused(
        Postgres,
        TransactionControl,
        &[
            "do $$ begin commit; end $$",
            "create procedure p() language plpgsql as $$ begin insert into t values (1); rollback; end $$",
            "do $$ begin execute 'commit'; end $$",
        ],
    );
    refused(
        MariaDb,
        TransactionControl,
        &[
            "create procedure p() begin insert into t values (1); commit; end",
            "create procedure p() begin if 1 then start transaction; end if; end",
        ],
    );
}

#[test]
fn hidden_statements() {
    refused(
        MariaDb,
        NotTransactional,
        &[
            "begin not atomic commit end",
            "call p()",
            "execute immediate 'commit'",
            "select 1 /*! ; commit */",
            "insert into t values (1) /*M!100000 , (2) */",
        ],
    );
    for dialect in Dialect::ALL {
        refused(dialect, SeveralStatements, &["insert into t values (1); commit; insert into t values (2)"]);
    }
}

#[test]
fn session_state() {
    for dialect in Dialect::ALL {
        refused(
            dialect,
            SessionState,
            &["set a = 1", "create temp table t (a int)", "create temporary table t (a int)"],
        );
    }
    refused(
        Postgres,
        SessionState,
        &[
            "set search_path = x",
            "set local a to 1",
            "reset all",
            "discard all",
            "listen a",
            "unlisten *",
            "prepare p as select 1",
            "execute p",
            "deallocate p",
            "declare c cursor with hold for select 1",
            "fetch c",
            "move c",
            "close c",
            "lock table t",
            "lock t",
            "select pg_advisory_lock(1)",
            "select pg_try_advisory_xact_lock(1)",
            "select set_config('a', 'b', false)",
            "create or replace temp view v as select 1",
            "create local temp table t (a int)",
            "select 1 into temp t",
            "select 1 into temporary table t",
            "insert into pg_temp.t values (1)",
            "set constraints all deferred",
            "do $$ begin set local a = 1; end $$",
            "explain execute p",
            "do $$ begin create temp table t (a int); end $$",
        ],
    );
    refused(
        MariaDb,
        SessionState,
        &[
            "set @a = 1",
            "select @a := 1",
            "update t set a = @b",
            "select a into @b from t",
            "lock tables t write",
            "unlock tables",
            "use x",
            "prepare p from 'select 1'",
            "handler t open",
            "select get_lock('a', 1)",
            "drop temporary table t",
            "get diagnostics @a = row_count",
        ],
    );
    refused(
        MariaDb,
        SessionState,
        &[
            "create trigger r before insert on t for each row begin set session sql_mode = ''; end",
            "create trigger r before insert on t for each row set foreign_key_checks = 0, new.a = 1",
        ],
    );
    refused(
        Sqlite,
        SessionState,
        &[
            "pragma foreign_keys = off",
            "create table temp.t (a)",
            "create temp trigger r after insert on t begin select 1; end",
        ],
    );
}

#[test]
fn what_depends_on_readers_or_speed() {
    refused(
        Postgres,
        Environment,
        &[
            "select 1 from t for update nowait",
            "select 1 from t for update skip locked",
            "select pg_sleep(1)",
            "select pg_terminate_backend(1)",
            "select pg_cancel_backend(1)",
        ],
    );
    refused(
        MariaDb,
        Environment,
        &[
            "select 1 from t for update nowait",
            "select 1 from t for update skip locked",
            "select 1 from t for update wait 1",
            "alter table t nowait add a int",
            "do sleep(1)",
            "select benchmark(1, 2)",
            "set statement max_statement_time = 1 for select 1",
            "kill 5",
        ],
    );
}
