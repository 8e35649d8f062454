//! What a rollback does not take back.

use kluster_sql::Dialect::{MariaDb, Postgres};
use kluster_sql::RefusalCode::*;
use kluster_sql::{Class, admit};

use crate::{refused, taken};

#[test]
fn mariadb_ddl() {
    refused(
        MariaDb,
        NotTransactional,
        &[
            "drop table a, b",
            "drop view if exists a, b",
            "alter table t exchange partition p with table u",
            "insert delayed into t values (1)",
        ],
    );
    refused(
        MariaDb,
        NotTransactional,
        &[
            "create table t (a int) engine=MyISAM",
            "alter table t engine = 'Aria'",
            "create table t (a int) engine Memory",
            "create table t (a int) partition by range (a) (partition p values less than maxvalue engine = Aria)",
        ],
    );
    assert_eq!(admit(MariaDb, "drop table a").unwrap().class, Class::Ddl);
    taken(
        MariaDb,
        &["create table t (engine int, check (engine = 'a'))", "alter table t add column engine varchar(3)"],
    );
}

#[test]
fn mariadb_signals() {
    refused(
        MariaDb,
        Unsupported,
        &[
            "signal sqlstate '40001'",
            "create trigger r before insert on t for each row signal sqlstate '45000' set mysql_errno = 1205",
            "create trigger r before insert on t for each row begin declare c condition for sqlstate '23000'; signal c; end",
        ],
    );
    taken(
        MariaDb,
        &[
            "create trigger r before insert on t for each row signal sqlstate '45001' set message_text = 'no'",
            "create function f() returns int begin declare exit handler for sqlexception begin resignal; end; return 1; end",
        ],
    );
}

#[test]
fn unlogged_tables() {
    refused(
        Postgres,
        NotTransactional,
        &[
            "create unlogged table t (a int)",
            "alter table t set unlogged",
            "select 1 into unlogged t",
            "create unlogged sequence s".replace("sequence s", "table s").as_str(),
        ],
    );
}
