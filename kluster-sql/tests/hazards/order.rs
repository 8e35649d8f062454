//! Rows taken in no stated order.

use kluster_sql::Dialect;
use kluster_sql::Dialect::{MariaDb, Postgres, Sqlite};
use kluster_sql::RefusalCode::*;

use crate::{refused, taken};

#[test]
fn rows_taken_in_bodies() {
    refused(
        Postgres,
        OrderDependent,
        &[
            "do $$ begin delete from t where id in (select id from u limit 1); end $$",
            "create function f() returns void language sql as 'insert into t select distinct on (a) a, b from u'",
            "create function f() returns void language sql as 'insert into t select row_number() over () from u'",
        ],
    );
    refused(
        Sqlite,
        OrderDependent,
        &["create trigger r after insert on t begin delete from u where id in (select id from u limit 1); end"],
    );
    taken(
        Postgres,
        &[
            "do $$ declare a int; begin select id into a from t where id = 1 limit 1; end $$",
            "do $$ begin delete from t where id in (select id from u order by id limit 1); end $$",
        ],
    );
}

#[test]
fn rows_that_nothing_tells_apart() {
    refused(MariaDb, Environment, &["insert into t select a from u order by a limit rows examined 100"]);
    refused(
        Postgres,
        OrderDependent,
        &[
            "insert into t select distinct * from u limit 1",
            "insert into t select * from (u join v using (a)) order by a limit 1",
            "with x as (insert into t select distinct * from u limit 1) select 1",
            "select * into t from (u join v using (a)) offset 3",
        ],
    );
    for dialect in [MariaDb, Sqlite] {
        refused(
            dialect,
            OrderDependent,
            &[
                "insert into t select * from u join v limit 1",
                "create table t as select * from u join v order by a limit 10",
                "insert into t select row_number() over (order by a) from u join v",
            ],
        );
    }
}

#[test]
fn reads_take_rows_in_any_order() {
    for dialect in Dialect::ALL {
        taken(
            dialect,
            &["select a from t limit 1", "select row_number() over () from u", "update t set a = 1 where t.limit = 2"],
        );
    }
}
