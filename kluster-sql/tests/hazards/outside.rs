//! The world outside the data, rights, and Kluster's own names.

use kluster_sql::Dialect;
use kluster_sql::Dialect::{MariaDb, Postgres, Sqlite};
use kluster_sql::RefusalCode::*;

use crate::{refused, taken};

#[test]
fn work_of_the_operator() {
    refused(
        Postgres,
        Environment,
        &[
            "create database x",
            "drop database x",
            "alter database x set a = 1",
            "create tablespace x location '/x'",
            "create extension dblink",
            "vacuum",
            "vacuum (full) t",
            "cluster t",
            "reindex database x",
            "reindex (verbose) system x",
            "reindex schema s",
            "alter system set a = 1",
            "load 'x'",
            "checkpoint",
            "create table t (a int) tablespace x",
            "alter table t set tablespace x",
            "create language plpython3u",
            "create subscription s connection '' publication p",
            "create publication p for all tables",
        ],
    );
    refused(
        MariaDb,
        Environment,
        &[
            "create database x",
            "create schema x",
            "drop schema x",
            "create event e on schedule every 1 day do delete from t",
            "flush tables",
            "shutdown",
            "install plugin x soname 'y'",
            "create function f returns int soname 'x.so'",
            "optimize table t",
            "repair table t",
            "create server s foreign data wrapper mysql options ()",
            "change master to master_host = 'x'",
            "start slave",
            "alter table t import tablespace",
        ],
    );
    refused(
        Sqlite,
        Environment,
        &[
            "attach 'x' as y",
            "detach y",
            "vacuum",
            "vacuum into 'x'",
            "select load_extension('x')",
            "create virtual table t using csv(filename = 'x')",
        ],
    );
}

#[test]
fn files_and_networks() {
    refused(
        Postgres,
        Copy,
        &[
            "copy t from stdin",
            "copy t from '/etc/passwd'",
            "copy t to program 'x'",
            "copy (select 1) to stdout",
            "do $$ begin copy t from '/x'; end $$",
        ],
    );
    refused(
        Postgres,
        Environment,
        &[
            "select dblink('', 'x')",
            "select lo_import('/x')",
            "select lo_create(0)",
            "select pg_read_file('/x')",
            "select pg_ls_dir('/')",
            "create foreign table t (a int) server s",
            "create server s foreign data wrapper w",
            "create user mapping for x server s",
            "import foreign schema x from server s into y",
        ],
    );
    refused(
        MariaDb,
        Copy,
        &[
            "load data infile 'x' into table t",
            "load data local infile 'x' into table t",
            "load xml infile 'x' into table t",
        ],
    );
    refused(
        MariaDb,
        Environment,
        &[
            "select 1 into outfile '/x'",
            "select 1 into dumpfile '/x'",
            "insert into t values (load_file('/x'))",
            "create table t (a int) data directory = '/x'",
        ],
    );
    refused(Postgres, Environment, &["insert into t select query_to_xml('select now()', true, true, '')"]);
}

#[test]
fn untrusted_languages() {
    refused(
        Postgres,
        Unsupported,
        &[
            "create function f() returns int language plpython3u as $$ import os $$",
            "create function f() returns int as 'x', 'y' language c",
            "do language 'plperlu' $$ x $$",
            "create function f() returns int language internal as 'x'",
        ],
    );
}

#[test]
fn roles_and_rights() {
    for dialect in [Postgres, MariaDb] {
        refused(
            dialect,
            Privilege,
            &[
                "create role x",
                "create user x",
                "alter user x",
                "drop user x",
                "drop role x",
                "grant select on t to x",
                "grant x to y",
                "revoke all on t from x",
                "set role x",
                "set password = 'x'",
            ],
        );
    }
    refused(
        Postgres,
        Privilege,
        &[
            "alter role app superuser",
            "create group g",
            "alter default privileges grant select on tables to x",
            "reassign owned by a to b",
            "drop owned by a",
            "alter table t owner to x",
            "do $$ begin alter role app superuser; end $$",
            "do $$ begin execute 'alter role app superuser'; end $$",
            "set session authorization x",
            "create event trigger e on ddl_command_end execute function f()",
        ],
    );
    refused(
        MariaDb,
        Privilege,
        &["rename user a to b", "set default role x", "create definer = root@localhost view v as select 1"],
    );
}

#[test]
fn names_of_kluster() {
    refused(
        Postgres,
        KlusterSchema,
        &[
            "select * from kluster_state.node",
            "delete from KLUSTER_STATE.node",
            "drop schema \"kluster_state\" cascade",
            "create table kluster.t (a int)",
            "drop schema kluster",
            "create schema if not exists kluster",
            "select kluster_state.claim($1)",
            "do $$ begin delete from kluster_state.node; end $$",
            "create function kluster.now() returns int language sql as 'select 1'",
            "select U&\"klu\\0073ter_state\".a",
        ],
    );
    refused(
        MariaDb,
        KlusterSchema,
        &[
            "select * from kluster_state.node",
            "drop table `kluster_state_main`.`node`",
            "update KLUSTER_STATE.x set a = 1",
        ],
    );
    refused(
        Sqlite,
        KlusterSchema,
        &[
            "select * from kluster_state",
            "drop table [kluster_outcomes]",
            "delete from 'kluster_state'",
            "insert into main.\"Kluster_x\" values (1)",
            "alter table t rename to kluster_y",
            "update or ignore 'KLUSTER_state' set a = 1",
        ],
    );
    taken(Postgres, &["create table my_kluster (a int)", "insert into t values ('kluster_state')"]);
    taken(Sqlite, &["insert into t values ('kluster_state')", "select 'kluster_state' as name from t"]);
}

#[test]
fn hostile_texts() {
    for dialect in Dialect::ALL {
        refused(dialect, Syntax, &["select 'a\0b'", "select 'open", "\"", "", "   "]);
        refused(
            dialect,
            TooLarge,
            &[&"(".repeat(20_000), &format!("select {}", vec!["1"; 200_000].join("+")), &"a".repeat((8 << 20) + 1)],
        );
    }
}
