//! Rows taken in an order that nodes do not share.

use super::Form::Checked;
use super::Scope::Writes;
use super::{EVERY, POSTGRES, Rule, row};
use crate::refusal::RefusalCode::OrderDependent;

const TAKES: &str = "without ORDER BY takes whichever rows this node meets first";
const ORDER: &str = "add ORDER BY with a unique key";

pub(super) const RULES: &[Rule] = &[
    row(Checked, EVERY, Writes, OrderDependent).rule(&["limit", "offset", "fetch first"], TAKES, ORDER),
    row(Checked, POSTGRES, Writes, OrderDependent).rule(&["distinct on"], TAKES, ORDER),
    row(Checked, EVERY, Writes, OrderDependent).rule(
        &["row_number", "lag", "lead", "ntile", "first_value", "last_value", "nth_value"],
        "over a window without ORDER BY numbers rows as this node meets them",
        "add ORDER BY with a unique key to the window",
    ),
];
