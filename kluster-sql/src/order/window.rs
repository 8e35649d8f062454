//! Windows: functions that tell rows apart which their window's ORDER BY leaves equal.
//!
//! Rows that a window leaves equal are peers. A function that treats peers alike (`rank`, a sum over RANGE) is left alone.
//! For one that does not, the window's ORDER BY is made total, unless that would change which rows are peers of which for a
//! frame that counts by peers; then it is refused.

use super::Found;
use super::identity;
use super::query::{Clause, Query, split};
use crate::refusal::Refusal;
use crate::scan::{Scan, refuse_checked};
use crate::statement::Statement;
use crate::token::Kind;
use std::collections::HashMap;
use std::ops::Range;

/// What a window function makes of peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peers {
    /// Treats them alike.
    Alike,
    /// Gives each another value, whatever the frame.
    Numbered,
    /// Takes the first row of the frame.
    First,
    /// Takes another row of the frame.
    Other,
    /// An aggregate that follows the order of its rows.
    Listed,
    /// Any other aggregate.
    Folded,
}

fn peers(name: &str) -> Peers {
    match name {
        "rank" | "dense_rank" | "percent_rank" | "cume_dist" => Peers::Alike,
        "row_number" | "lag" | "lead" | "ntile" => Peers::Numbered,
        "first_value" => Peers::First,
        "last_value" | "nth_value" => Peers::Other,
        _ if super::aggregate::is_list(name) => Peers::Listed,
        _ => Peers::Folded,
    }
}

/// A window's definition: the tokens between its parentheses.
#[derive(Debug)]
struct Window {
    open: usize,
    order: Option<Range<usize>>,
    /// The tokens of the frame; empty: there is none.
    frame: Range<usize>,
    /// It goes on from another window.
    named: bool,
}

/// What is done about a window's peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Leave,
    Total,
    Refuse,
}

/// Makes the windows total whose functions tell peers apart.
pub(super) fn make_total(scan: &Scan<'_, '_>, queries: &[Query], found: &mut Found) -> Result<(), Refusal> {
    let statement = scan.statement;
    let mut judged: HashMap<usize, Verdict> = HashMap::new();
    for over in (0..statement.len()).filter(|at| statement.is(*at, "over") && statement.follows_symbol(*at, ")")) {
        let Some((at, name)) = function(statement, over) else { continue };
        let Some(query) = innermost(queries, at) else { continue };
        let Some(window) = window(statement, query, over + 1) else { continue };
        let refusal = || refuse_checked(statement, at, shown(&name), &format!("{}()", statement.raw(at)));
        let verdict = verdict(statement, peers(&name), &window);
        match (judged.insert(window.open, verdict), verdict) {
            // One window for two functions, of which one must not see another order.
            (Some(before), now) if before != now => return Err(refusal()),
            (Some(_), _) | (None, Verdict::Leave) => {}
            (None, Verdict::Refuse) => return Err(refusal()),
            (None, Verdict::Total) => total(statement, query, &window, &refusal, found)?,
        }
    }
    Ok(())
}

/// The name in the rule table under which a function's refusal is found.
fn shown(name: &str) -> &'static str {
    match peers(name) {
        Peers::Numbered | Peers::First => "row_number",
        Peers::Alike | Peers::Other => "last_value",
        Peers::Listed | Peers::Folded => "aggregate over",
    }
}

fn total(
    statement: &Statement<'_>,
    query: &Query,
    window: &Window,
    refusal: &dyn Fn() -> Refusal,
    found: &mut Found,
) -> Result<(), Refusal> {
    let place = identity::place(statement, window.frame.start, window.order.clone());
    if query.at(Clause::Group).is_some() && !query.compound {
        let terms = identity::of_groups(statement, query).ok_or_else(refusal)?;
        identity::put(place, &terms, found);
        return Ok(());
    }
    // The members of a UNION have windows of their own.
    identity::of_query(statement, &query.alone(), place, refusal, found)
}

fn verdict(statement: &Statement<'_>, peers: Peers, window: &Window) -> Verdict {
    let frame = window.frame.clone();
    let says = |phrase: &str| frame.clone().any(|at| statement.is_phrase(at, phrase));
    let whole = says("unbounded preceding") && says("unbounded following");
    let by_rows = statement.is(frame.start, "rows") && !frame.is_empty();
    let excludes = says("exclude ties") || says("exclude group");
    let total = if window.named || excludes { Verdict::Refuse } else { Verdict::Total };
    match peers {
        Peers::Alike => Verdict::Leave,
        Peers::Numbered => total,
        Peers::First if by_rows || whole || frame.is_empty() || says("unbounded preceding") => total,
        Peers::Other if by_rows || whole => total,
        Peers::Listed | Peers::Folded if by_rows => total,
        Peers::First | Peers::Other | Peers::Listed => Verdict::Refuse,
        Peers::Folded => Verdict::Leave,
    }
}

/// The function whose OVER stands at `over`: its name's token, and its name in lower case.
fn function(statement: &Statement<'_>, over: usize) -> Option<(usize, String)> {
    let mut close = over - 1;
    loop {
        let open = opening(statement, close)?;
        let at = open.checked_sub(1)?;
        let name = statement.name(at)?.to_ascii_lowercase();
        // FILTER (WHERE …), and the function's own parentheses before it.
        match name == "filter" && statement.follows_symbol(at, ")") {
            true => close = at - 1,
            false => return Some((at, name)),
        }
    }
}

fn opening(statement: &Statement<'_>, close: usize) -> Option<usize> {
    let mut depth = 0_usize;
    (0..=close).rev().find(|at| {
        match statement.raw(*at) {
            ")" => depth += 1,
            "(" => depth = depth.saturating_sub(1),
            _ => return false,
        }
        depth == 0
    })
}

/// The innermost query that the token `at` is in.
fn innermost(queries: &[Query], at: usize) -> Option<&Query> {
    queries.iter().filter(|query| query.holds(at)).max_by_key(|query| query.start())
}

/// The window behind OVER: in parentheses, or the named one of the query.
fn window(statement: &Statement<'_>, query: &Query, at: usize) -> Option<Window> {
    if statement.is_symbol(at, "(") {
        return Some(defined(statement, at));
    }
    let name = statement.name(at)?;
    let clause = query.range(Clause::Window)?;
    let open = split(statement, clause.start + 1..clause.end).into_iter().find_map(|part| {
        let named = statement.name(part.start).is_some_and(|found| found.eq_ignore_ascii_case(&name));
        (named && statement.is(part.start + 1, "as")).then_some(part.start + 2)
    })?;
    Some(defined(statement, open))
}

fn defined(statement: &Statement<'_>, open: usize) -> Window {
    const CLAUSES: &[&str] = &["partition", "order", "rows", "range", "groups"];
    let close = statement.closing(open);
    let mut depth = 0_usize;
    let (mut order, mut frame) = (None, close);
    for at in open + 1..close {
        match statement.raw(at) {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ if depth > 0 || statement.follows_symbol(at, ".") => {}
            _ if statement.is_phrase(at, "order by") => order = Some(at + 2),
            _ if statement.is_any(at, &["rows", "range", "groups"]) && begins_frame(statement, at + 1) => {
                frame = at;
                break;
            }
            _ => {}
        }
    }
    let named = statement.kind(open + 1).is_some_and(|kind| matches!(kind, Kind::Word | Kind::Quoted))
        && !statement.is_any(open + 1, CLAUSES);
    Window { open, order: order.map(|order| order..frame), frame: frame..close, named }
}

fn begins_frame(statement: &Statement<'_>, at: usize) -> bool {
    statement.is_any(at, &["between", "unbounded", "current", "interval"])
        || statement.is(at + 1, "preceding")
        || statement.is(at + 1, "following")
}
