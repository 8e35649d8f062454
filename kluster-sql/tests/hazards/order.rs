//! Rows taken in no stated order.

use kluster_sql::Dialect;
use kluster_sql::Dialect::{MariaDb, Postgres, Sqlite};
use kluster_sql::RefusalCode::*;

use crate::{refused, taken};

#[test]
fn limit_without_order() {
    for dialect in Dialect::ALL {
        refused(
            dialect,
            OrderDependent,
            &[
                "insert into t select a from u limit 1",
                "update t set a = (select b from u limit 1)",
                "delete from t where id in (select id from u where a = 1 limit 5)",
                "insert into t select a from (select a from u limit 3) x order by a limit 1",
                "create table t as select a from u limit 10",
                "insert into t select a from u union select a from v limit 3",
            ],
        );
        taken(
            dialect,
            &[
                "insert into t select a from u order by a limit 1",
                "delete from t where id in (select id from u order by id limit 5)",
                "delete from t where exists (select 1 from u limit 1)",
                "insert into t select a from u union select a from v order by 1 limit 3",
                "select a from t limit 1",
                "update t set a = 1 where t.limit = 2",
            ],
        );
    }
    refused(MariaDb, OrderDependent, &["delete from t limit 1", "update t set a = 1 limit 1"]);
    taken(MariaDb, &["delete from t order by id limit 1"]);
    refused(MariaDb, Environment, &["insert into t select a from u order by a limit rows examined 100"]);
    refused(
        Postgres,
        OrderDependent,
        &[
            "insert into t select a from u fetch first row only",
            "select a into t from u offset 3",
            "call p((select a from t limit 1))",
        ],
    );
    refused(
        Postgres,
        OrderDependent,
        &[
            "with x as (insert into t select a from u limit 1) select 1",
            "do $$ begin delete from t where id in (select id from u limit 1); end $$",
        ],
    );
    refused(
        Sqlite,
        OrderDependent,
        &["create trigger r after insert on t begin delete from u where id in (select id from u limit 1); end"],
    );
    taken(Postgres, &["do $$ declare a int; begin select id into a from t where id = 1 limit 1; end $$"]);
}

#[test]
fn distinct_on_without_order() {
    refused(
        Postgres,
        OrderDependent,
        &[
            "insert into t select distinct on (a) a, b from u",
            "insert into t select * from (select distinct on (a) a, b from u) x order by a",
        ],
    );
    taken(
        Postgres,
        &[
            "insert into t select distinct on (a) a, b from u order by a, b",
            "select distinct on (a) a from u",
            "insert into t select distinct a from u",
        ],
    );
}

#[test]
fn windows_without_order() {
    for dialect in Dialect::ALL {
        refused(
            dialect,
            OrderDependent,
            &[
                "insert into t select row_number() over () from u",
                "update t set a = (select first_value(b) over (partition by c) from u)",
            ],
        );
        taken(
            dialect,
            &[
                "insert into t select row_number() over (partition by a order by b) from u",
                "select row_number() over () from u",
                "insert into t select count(*) over () from u",
            ],
        );
    }
}
