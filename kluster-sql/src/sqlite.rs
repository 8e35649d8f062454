//! What only SQLite has: date functions that mean the present, strings as names, RAISE, modules, the temp schema.

use crate::refusal::Refusal;
use crate::scan::{Scan, refuse_checked};
use crate::statement::Statement;
use crate::token::Kind;

/// Words behind which a name of a table stands; a string counts as one there.
const BEFORE_NAMES: &[&str] = &[
    "from",
    "join",
    "into",
    "update",
    "table",
    "exists",
    "references",
    "on",
    "index",
    "view",
    "trigger",
    "of",
    "reindex",
    "analyze",
    "ignore",
    "replace",
    "abort",
    "fail",
];

/// Modules that keep their data in the database itself.
const MODULES: &[&str] = &["fts3", "fts4", "fts5", "rtree", "rtree_i32", "geopoly"];

pub(crate) fn check_token(scan: &Scan<'_, '_>, at: usize) -> Result<(), Refusal> {
    let statement = scan.statement;
    let named =
        statement.follows(at, BEFORE_NAMES) || statement.follows_symbol(at, ".") || statement.is_symbol(at + 1, ".");
    if statement.kind(at) != Some(Kind::Text) || !named {
        return Ok(());
    }
    match statement.value(at) {
        Some(name) if name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("kluster_")) => {
            let (rule, hint) = ("belongs to Kluster", "use names of your own");
            Err(statement.refuse(at, crate::RefusalCode::KlusterSchema, format!("this name {rule}"), hint))
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_word(scan: &Scan<'_, '_>, at: usize, word: &str) -> Result<(), Refusal> {
    let statement = scan.statement;
    match word {
        "raise" if statement.is_symbol(at + 1, "(") && statement.is(at + 2, "rollback") => {
            Err(refuse_checked(statement, at, "raise(rollback, …)", "RAISE(ROLLBACK, …)"))
        }
        "temp" | "temporary" if statement.is_symbol(at + 1, ".") && statement.follows(at, BEFORE_NAMES) => {
            Err(refuse_checked(statement, at, "temp.name", "what stands in the temp schema"))
        }
        "using" if scan.head.is("create virtual") => match statement.name(at + 1) {
            Some(module) if !MODULES.iter().any(|known| module.eq_ignore_ascii_case(known)) => {
                Err(refuse_checked(statement, at + 1, "create virtual table … using …", "CREATE VIRTUAL TABLE"))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Whether the date function called at `at` means the present: no time given, `'now'` somewhere in it, or `'subsec'`
/// in the place of the time.
pub(crate) fn means_now(statement: &Statement<'_>, at: usize) -> bool {
    let (open, close) = (at + 1, statement.closing(at + 1));
    let time = match statement.name(at) {
        Some(name) if name.eq_ignore_ascii_case("strftime") => match comma(statement, open, close) {
            Some(comma) => comma + 1,
            None => return true,
        },
        _ => open + 1,
    };
    let says = |at: usize, words: &[&str]| {
        // A name in double quotes that is no column's is a string to SQLite.
        let value = statement.value(at).or_else(|| statement.name(at).filter(|_| statement.raw(at).starts_with('"')));
        value.is_some_and(|value| words.iter().any(|word| value.trim().eq_ignore_ascii_case(word)))
    };
    time >= close || says(time, &["subsec", "subsecond"]) || (open..close).any(|at| says(at, &["now"]))
}

/// The first comma between the parentheses `open` and `close` that is in no others.
fn comma(statement: &Statement<'_>, open: usize, close: usize) -> Option<usize> {
    let mut depth = 0_usize;
    (open..close).find(|at| {
        if statement.is_symbol(*at, "(") {
            depth += 1;
        } else if statement.is_symbol(*at, ")") {
            depth = depth.saturating_sub(1);
        }
        depth == 1 && statement.is_symbol(*at, ",")
    })
}
