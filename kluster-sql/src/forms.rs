//! Everyday forms of statements that follow the order of rows, and what is done about each. `docs/sql-rules.md` shows this
//! table, and a test executes it on each DBMS over tables of unlike physical order.
//!
//! The tables: `item` and `archive (id varchar primary key, grp, due, name, amount)`, `loose` with the same columns and no
//! key, `result (a, b, c)`.

use crate::dialect::Dialect;
use serde::Serialize;

/// What is done about a statement that follows the order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    /// Its order is made total.
    Total,
    /// It is refused as `order_dependent`.
    Refused,
    /// It is executed as it is; a difference between nodes is found by comparing effects.
    Compared,
}

/// One form.
#[derive(Debug, Clone, Copy)]
pub struct OrderForm {
    /// What it is, for people.
    pub what: &'static str,
    /// In which dialects it is treated so.
    pub dialects: &'static [Dialect],
    /// What is done about it.
    pub treatment: Treatment,
    /// A statement of the form.
    pub sql: &'static str,
}

const POSTGRES: &[Dialect] = &[Dialect::Postgres];
const MARIADB: &[Dialect] = &[Dialect::MariaDb];
const SQLITE: &[Dialect] = &[Dialect::Sqlite];
const EVERY: &[Dialect] = &Dialect::ALL;
const NOT_MARIADB: &[Dialect] = &[Dialect::Postgres, Dialect::Sqlite];
const KEYED: &[Dialect] = &[Dialect::MariaDb, Dialect::Sqlite];

const fn total(what: &'static str, dialects: &'static [Dialect], sql: &'static str) -> OrderForm {
    OrderForm { what, dialects, treatment: Treatment::Total, sql }
}

const fn refused(what: &'static str, dialects: &'static [Dialect], sql: &'static str) -> OrderForm {
    OrderForm { what, dialects, treatment: Treatment::Refused, sql }
}

const fn compared(what: &'static str, dialects: &'static [Dialect], sql: &'static str) -> OrderForm {
    OrderForm { what, dialects, treatment: Treatment::Compared, sql }
}

/// All forms.
pub const ORDER_FORMS: &[OrderForm] = &[
    total(
        "texts joined by an aggregate",
        NOT_MARIADB,
        "insert into result (a, b) select grp, string_agg(name, ',') from loose group by grp",
    ),
    total(
        "texts joined by an aggregate",
        KEYED,
        "insert into result (a, b) select grp, group_concat(name) from loose group by grp",
    ),
    total(
        "texts joined in an order that leaves rows equal",
        NOT_MARIADB,
        "insert into result (a) select string_agg(name, ',' order by grp) from loose",
    ),
    total(
        "texts joined in an order that leaves rows equal",
        MARIADB,
        "insert into result (a) select group_concat(name order by grp separator ';') from loose",
    ),
    total(
        "arrays, JSON and XML by an aggregate",
        POSTGRES,
        "insert into result (a, b, c) select array_agg(name), json_agg(loose), xmlagg(xmlelement(name n, name)) from loose",
    ),
    total(
        "JSON objects by an aggregate",
        POSTGRES,
        "insert into result (a, b) select json_object_agg(due, name), jsonb_object_agg(grp, name) from loose",
    ),
    total("JSON arrays by an aggregate", MARIADB, "insert into result (a) select json_arrayagg(name) from loose"),
    total(
        "JSON by an aggregate",
        SQLITE,
        "insert into result (a, b) select json_group_array(name), json_group_object(due, name) from loose",
    ),
    total(
        "sums and averages of floating-point numbers",
        NOT_MARIADB,
        "insert into result (a, b, c) select grp, sum(amount), avg(amount) from loose group by grp",
    ),
    total("array(select …)", POSTGRES, "insert into result (a) select array(select name from loose)"),
    total(
        "a job queue: the oldest free row",
        NOT_MARIADB,
        "update item set name = 'taken' where id in (select id from item where grp = 1 order by due limit 1)",
    ),
    total(
        "a job queue: the oldest free row",
        MARIADB,
        "update item set name = 'taken' where grp = 1 order by due limit 1",
    ),
    total(
        "a job queue by a derived table",
        EVERY,
        "delete from item where id in (select id from (select id from item where grp = 1 order by due limit 2) as x)",
    ),
    total(
        "a job queue that locks",
        POSTGRES,
        "update item set name = 'taken' where id = (select id from item where grp = 1 order by due limit 1 for update)",
    ),
    total("the first rows, in no order", EVERY, "insert into result (a, b) select id, due from item limit 3"),
    total("the first rows", EVERY, "insert into result (a, b) select id, due from item order by due limit 3"),
    total("the first whole rows", EVERY, "insert into archive select * from item order by due limit 3"),
    total("rows behind others", EVERY, "insert into archive select i.* from item i order by due desc limit 2 offset 1"),
    total(
        "the first rows of a join",
        EVERY,
        "insert into result (a, b) select i.name, j.due from item i join item j on i.grp = j.grp order by j.due limit 4",
    ),
    total(
        "the first whole rows of a join",
        POSTGRES,
        "insert into archive select i.* from item i join loose l on l.id = i.id order by i.due limit 3",
    ),
    total(
        "the first rows of a union",
        NOT_MARIADB,
        "insert into result (a, b) select name, due from item union all select name, due from loose order by 2 limit 3",
    ),
    total(
        "the largest groups",
        EVERY,
        "insert into result (a, b) select name, count(*) from loose group by name order by 2 desc limit 2",
    ),
    total(
        "one row of each group",
        POSTGRES,
        "insert into result (a, b) select distinct on (grp) grp, name from loose order by grp, due",
    ),
    total(
        "one whole row of each group, in no order",
        POSTGRES,
        "insert into archive select distinct on (grp) * from item",
    ),
    total(
        "the first rows of one table to be deleted",
        MARIADB,
        "delete from item where grp = 1 order by due desc limit 2",
    ),
    total(
        "duplicates removed by row_number",
        EVERY,
        "delete from item where id in (select id from \
         (select id, row_number() over (partition by grp order by due) as n from item) as x where n > 1)",
    ),
    total(
        "duplicates removed by row_number in WITH",
        NOT_MARIADB,
        "with d as (select id, row_number() over (partition by grp) as n from item) \
         delete from item where id in (select id from d where n > 1)",
    ),
    total(
        "neighbours by lag and lead, the first value",
        EVERY,
        "insert into result (a, b, c) select id, lag(id) over w, first_value(id) over w from item \
         window w as (partition by grp order by due)",
    ),
    total("quarters by ntile", EVERY, "insert into result (a, b) select id, ntile(4) over (order by due) from item"),
    total(
        "a running count by rows",
        EVERY,
        "insert into result (a, b) select id, count(*) over (order by due rows unbounded preceding) from item",
    ),
    total(
        "a window over groups",
        EVERY,
        "insert into result (a, b) select name, row_number() over (order by count(*)) from loose group by name",
    ),
    total(
        "a window over a join or a table without a key",
        POSTGRES,
        "insert into result (a, b, c) select i.id, l.name, row_number() over (order by l.due) \
         from item i join loose l on l.grp = i.grp",
    ),
    refused(
        "the first whole rows of a join",
        KEYED,
        "insert into archive select i.* from item i join loose l on l.id = i.id order by i.due limit 3",
    ),
    refused(
        "the first whole rows without a key",
        KEYED,
        "insert into archive select * from loose order by due limit 3",
    ),
    refused(
        "a window over a join or a table without a key",
        KEYED,
        "insert into result (a, b) select id, row_number() over (order by due) from loose",
    ),
    refused("rows without a key to be deleted", MARIADB, "delete from loose order by due limit 1"),
    refused(
        "distinct whole rows, some of them",
        POSTGRES,
        "insert into archive select distinct * from item order by due limit 3",
    ),
    refused(
        "last_value and nth_value up to the current row",
        EVERY,
        "insert into result (a, b) select id, last_value(name) over (order by due) from item",
    ),
    refused(
        "texts joined over a window",
        NOT_MARIADB,
        "insert into result (a, b) select id, string_agg(name, ',') over (order by due) from item",
    ),
    refused(
        "JSON objects by an aggregate",
        MARIADB,
        "insert into result (a) select json_objectagg(due, name) from item",
    ),
    compared(
        "UPDATE … FROM that finds several rows",
        NOT_MARIADB,
        "update item set name = l.name from loose l where l.grp = item.grp",
    ),
    compared(
        "ON CONFLICT DO NOTHING, INSERT IGNORE of several candidates",
        NOT_MARIADB,
        "insert into archive select name, grp, due, name, amount from loose where true on conflict do nothing",
    ),
    compared(
        "the first rows of a union that tie by texts of unlike case",
        MARIADB,
        "insert into result (a, b) select name, due from item union all select name, due from loose order by 2 limit 3",
    ),
    compared(
        "values that are equal and unlike: 1.0 and 1.00, -0 and 0, 'a' and 'A'",
        EVERY,
        "insert into result (a) select max(name) from loose",
    ),
    compared(
        "rows numbered by a trigger, loops over a query in a routine",
        EVERY,
        "insert into result (a) select name from loose",
    ),
    compared(
        "sums and averages of floating-point numbers",
        MARIADB,
        "insert into result (a) select sum(amount) from loose",
    ),
];
