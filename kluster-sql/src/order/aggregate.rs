//! Aggregates whose value follows the order of their rows are ordered by their own arguments: whichever rows then tie
//! bring the same values, so that their order does not show.
//!
//! | what | PostgreSQL | SQLite | MariaDB |
//! |---|---|---|---|
//! | lists (`string_agg`, `json_agg`, …) | by the argument's text | by the argument, then by its type | by the argument's bytes |
//! | sums of floating-point numbers | by the argument | by the argument | it takes no ORDER BY |

use super::Found;
use super::query::split;
use super::rows::text;
use crate::dialect::Dialect;
use crate::edits::{Edit, Edits};
use crate::refusal::{Refusal, RefusalCode};
use crate::scan::{Scan, refuse_checked};
use crate::statement::Statement;
use crate::token::Kind;
use std::ops::Range;

/// Bytes of arguments that are written a second time, at most: aggregates within aggregates double them at each level.
pub(crate) const MAX_COPIED: usize = 1 << 20;

/// Aggregates that put their rows' values one behind the other, or take one of them.
const LISTS: &[(Dialect, &[&str])] = &[
    (
        Dialect::Postgres,
        &[
            "string_agg",
            "array_agg",
            "json_agg",
            "jsonb_agg",
            "json_object_agg",
            "jsonb_object_agg",
            "json_agg_strict",
            "jsonb_agg_strict",
            "json_object_agg_strict",
            "jsonb_object_agg_strict",
            "json_object_agg_unique",
            "jsonb_object_agg_unique",
            "json_object_agg_unique_strict",
            "jsonb_object_agg_unique_strict",
            "json_arrayagg",
            "xmlagg",
            "any_value",
        ],
    ),
    (Dialect::MariaDb, &["group_concat", "json_arrayagg"]),
    (
        Dialect::Sqlite,
        &[
            "group_concat",
            "string_agg",
            "json_group_array",
            "jsonb_group_array",
            "json_group_object",
            "jsonb_group_object",
        ],
    ),
];

/// Aggregates whose last digits follow the order of floating-point numbers.
const SUMS: &[(Dialect, &[&str])] = &[
    (
        Dialect::Postgres,
        &[
            "sum",
            "avg",
            "stddev",
            "stddev_pop",
            "stddev_samp",
            "variance",
            "var_pop",
            "var_samp",
            "corr",
            "covar_pop",
            "covar_samp",
            "regr_avgx",
            "regr_avgy",
            "regr_intercept",
            "regr_r2",
            "regr_slope",
            "regr_sxx",
            "regr_sxy",
            "regr_syy",
        ],
    ),
    (Dialect::Sqlite, &["sum", "avg", "total"]),
];

/// Aggregates that take no ORDER BY.
const UNORDERABLE: &[(Dialect, &[&str])] =
    &[(Dialect::Postgres, &["json_objectagg"]), (Dialect::MariaDb, &["json_objectagg"])];

fn is_one(table: &[(Dialect, &[&str])], dialect: Dialect, name: &str) -> bool {
    table.iter().any(|(of, names)| *of == dialect && names.contains(&name))
}

/// Whether an aggregate of this name puts its rows' values one behind the other, in any dialect.
pub(super) fn is_list(name: &str) -> bool {
    LISTS.iter().chain(UNORDERABLE).any(|(_, names)| names.contains(&name))
}

/// An aggregate's parentheses, cut up.
#[derive(Debug)]
struct Call {
    distinct: bool,
    args: Range<usize>,
    ordered: bool,
    /// The token behind the arguments and their ORDER BY.
    end: usize,
}

/// Orders every aggregate that follows the order of its rows.
pub(super) fn make_total(scan: &Scan<'_, '_>, found: &mut Found) -> Result<(), Refusal> {
    let statement = scan.statement;
    let mut copied = 0;
    // From the end on: what stands in an argument is ordered before the argument is copied.
    for at in (0..statement.len()).rev() {
        let Some(name) = statement.name(at).filter(|_| statement.is_symbol(at + 1, "(")) else { continue };
        let name = name.to_ascii_lowercase();
        if !is_aggregate(scan, at, &name) {
            continue;
        }
        if is_one(UNORDERABLE, statement.dialect, &name) {
            return Err(refuse_checked(statement, at, "json_objectagg", &name.to_ascii_uppercase()));
        }
        let call = call(statement, at + 1);
        // What is DISTINCT is sorted already in PostgreSQL, by all arguments; DISTINCT * is no argument.
        if call.args.is_empty() || call.distinct && statement.dialect == Dialect::Postgres {
            continue;
        }
        let terms = terms(statement, &call, is_one(SUMS, statement.dialect, &name), found)?;
        copied += terms.iter().map(String::len).sum::<usize>();
        if copied > MAX_COPIED {
            let message = format!("ordering the aggregates of this text takes more than {MAX_COPIED} bytes");
            let hint = "put fewer aggregates into one another, or take the inner ones into WITH";
            return Err(statement.refuse(at, RefusalCode::TooLarge, message, hint));
        }
        let last = statement.token(call.end - 1).copied();
        if let Some(last) = last.filter(|_| !terms.is_empty()) {
            let lead = if call.ordered { ", " } else { " order by " };
            let blame = statement.token(at).map_or(0, |token| token.start as usize);
            found.add(Edit::insert(last.end as usize, lead.to_owned() + &terms.join(", "), blame));
        }
    }
    Ok(())
}

/// Whether the call at `at` is one of the aggregates above, and no window function.
fn is_aggregate(scan: &Scan<'_, '_>, at: usize, name: &str) -> bool {
    let (statement, dialect) = (scan.statement, scan.statement.dialect);
    let known = [LISTS, SUMS, UNORDERABLE].into_iter().any(|table| is_one(table, dialect, name));
    if !known || !scan.is_call(at) {
        return false;
    }
    let first = statement.qualified_from(at);
    let own = first == at || statement.name(first).is_some_and(|schema| schema.eq_ignore_ascii_case("pg_catalog"));
    let mut behind = statement.closing(at + 1) + 1;
    if statement.is(behind, "filter") && statement.is_symbol(behind + 1, "(") {
        behind = statement.closing(behind + 1) + 1;
    }
    own && !statement.is(behind, "over")
}

/// Cuts up what stands between the parentheses of an aggregate.
fn call(statement: &Statement<'_>, open: usize) -> Call {
    let close = statement.closing(open);
    let distinct = statement.is(open + 1, "distinct");
    let from = open + 1 + usize::from(distinct || statement.is(open + 1, "all"));
    let mut depth = 0_usize;
    let (mut order, mut end) = (None, close);
    for at in from..close {
        match statement.raw(at) {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            _ if depth > 0 || statement.follows_symbol(at, ".") => {}
            _ if order.is_none() && statement.is_phrase(at, "order by") => order = Some(at),
            _ if ends_list(statement, at) => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    Call { distinct, args: from..order.unwrap_or(end).max(from), ordered: order.is_some(), end }
}

/// What may stand behind the ORDER BY of an aggregate.
fn ends_list(statement: &Statement<'_>, at: usize) -> bool {
    match statement.dialect {
        Dialect::MariaDb => statement.is_any(at, &["separator", "limit"]),
        Dialect::Postgres => {
            statement.is_phrase(at, "null on null")
                || statement.is_phrase(at, "absent on null")
                || statement.is(at, "returning")
        }
        Dialect::Sqlite => false,
    }
}

/// The terms that order an aggregate's rows by its arguments.
fn terms(statement: &Statement<'_>, call: &Call, sums: bool, found: &Found) -> Result<Vec<String>, Refusal> {
    let mut terms = Vec::new();
    for arg in split(statement, call.args.clone()) {
        let constant =
            arg.len() == 1 && matches!(statement.kind(arg.start), Some(Kind::Text | Kind::Number | Kind::Param));
        if constant || arg.is_empty() || arg.len() == 1 && statement.is_any(arg.start, &["null"]) {
            continue;
        }
        let arg = edited(statement, arg, found)?;
        terms.push(match statement.dialect {
            _ if sums => format!("({arg})"),
            Dialect::Postgres => super::identity::as_text(&arg),
            Dialect::MariaDb => format!("binary ({arg})"),
            Dialect::Sqlite => format!("({arg}) collate binary, typeof({arg})"),
        });
    }
    Ok(terms)
}

/// The text of an argument, with the edits in it.
fn edited(statement: &Statement<'_>, arg: Range<usize>, found: &Found) -> Result<String, Refusal> {
    let written = text(statement, arg.clone());
    let start = statement.token(arg.start).map_or(0, |token| token.start as usize);
    let bytes = start..start + written.len();
    if found.wants.iter().any(|want| bytes.contains(&want.at)) {
        return Err(refuse_checked(statement, arg.start, "aggregate of a query", "an aggregate of a query"));
    }
    Ok(Edits::apply(written, found.within(bytes)).0)
}
