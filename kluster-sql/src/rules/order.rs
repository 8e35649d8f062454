//! What follows the order of rows, and is refused where it cannot be made total.

use super::Form::Checked;
use super::Scope::Writes;
use super::{EVERY, POSTGRES, Rule, SERVERS, row};
use crate::dialect::Dialect;
use crate::refusal::RefusalCode::OrderDependent;

const KEYED: &[Dialect] = &[Dialect::MariaDb, Dialect::Sqlite];
const TAKES: &str = "takes whichever rows this node meets first";
const ORDER: &str = "add ORDER BY with a unique key, or name the selected columns instead of *";

pub(super) const RULES: &[Rule] = &[
    row(Checked, EVERY, Writes, OrderDependent).rule(&["limit", "offset", "fetch first"], TAKES, ORDER),
    row(Checked, POSTGRES, Writes, OrderDependent).rule(&["distinct on", "array(select …)"], TAKES, ORDER),
    row(Checked, EVERY, Writes, OrderDependent).rule(
        &["row_number", "lag", "lead", "ntile", "first_value"],
        "tells rows apart which its window leaves equal, and nothing else tells them apart",
        "use it over one table with a primary key, or number the rows in the client",
    ),
    row(Checked, EVERY, Writes, OrderDependent).rule(
        &["last_value", "nth_value"],
        "takes one of several rows that its window leaves equal",
        "give the window a frame of ROWS that ends in UNBOUNDED FOLLOWING",
    ),
    row(Checked, EVERY, Writes, OrderDependent).rule(
        &["aggregate over"],
        "follows the order of rows that its window leaves equal",
        "give the window a frame of ROWS, or use the aggregate with GROUP BY",
    ),
    row(Checked, SERVERS, Writes, OrderDependent).rule(
        &["json_objectagg"],
        "puts its pairs in the order in which this node meets the rows, and takes no ORDER BY",
        "PostgreSQL: use json_object_agg(key, value); MariaDB: use JSON_ARRAYAGG, or let the client make the object",
    ),
    row(Checked, KEYED, Writes, OrderDependent).rule(
        &["aggregate of a query"],
        "is ordered by its argument, whose own order is not known here",
        "take the inner query into WITH",
    ),
];
