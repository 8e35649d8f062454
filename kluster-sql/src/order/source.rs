//! Sources: the tables and other things in a FROM, and by which name each is called there.

use super::query::{Clause, Query, split};
use crate::dialect::Dialect;
use crate::statement::Statement;
use crate::token::Kind;
use std::ops::Range;

/// One thing that rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// How it is called in the query, as it is written.
    pub(super) alias: String,
    /// The names of a table, schema first, quotes taken away; none for what is computed (a query, a function, a part of WITH).
    pub(super) table: Option<Vec<String>>,
}

/// Words that end a source, joined to the next one.
const JOINS: &[&str] = &["natural", "left", "right", "full", "inner", "cross", "outer", "straight_join"];

/// The sources of a query; none where one of them cannot be told or has no name.
pub(super) fn sources(statement: &Statement<'_>, query: &Query) -> Option<Vec<Source>> {
    let Some(from) = query.range(Clause::From) else { return Some(Vec::new()) };
    let mut found = Vec::new();
    for part in split(statement, from.start + 1..from.end) {
        for piece in joined(statement, part) {
            found.push(source(statement, piece)?);
        }
    }
    Some(found)
}

/// The one source of a query that is a table.
pub(super) fn only_table(statement: &Statement<'_>, query: &Query) -> Option<Source> {
    let mut sources = sources(statement, query)?;
    let only = sources.pop().filter(|source| sources.is_empty() && source.table.is_some());
    only.filter(|_| query.at(Clause::From).is_some())
}

/// Splits at JOIN, and takes the words of the join away.
fn joined(statement: &Statement<'_>, part: Range<usize>) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let (mut depth, mut start) = (0_usize, part.start);
    for at in part.clone() {
        match statement.raw(at) {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ if depth == 0
                && statement.is_any(at, &["join", "straight_join"])
                && !statement.follows_symbol(at, ".") =>
            {
                pieces.push(start..at);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(start..part.end);
    pieces.into_iter().map(|piece| without_join(statement, piece)).collect()
}

fn without_join(statement: &Statement<'_>, piece: Range<usize>) -> Range<usize> {
    let mut end = piece.end;
    while end > piece.start && statement.is_any(end - 1, JOINS) {
        end -= 1;
    }
    let condition = outermost(statement, piece.start..end, &["on", "using", "use", "force", "ignore", "indexed"]);
    // NOT INDEXED of SQLite.
    let condition = condition.map(|at| if statement.follows(at, &["not"]) { at - 1 } else { at });
    piece.start..condition.unwrap_or(end)
}

/// The first of `words` in `range` that is in no parentheses.
fn outermost(statement: &Statement<'_>, range: Range<usize>, words: &[&str]) -> Option<usize> {
    let mut depth = 0_usize;
    range.into_iter().find(|at| {
        match statement.raw(*at) {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && statement.is_any(*at, words) && !statement.follows_symbol(*at, ".")
    })
}

/// The source that these tokens are, the conditions of a join left out.
pub(super) fn source(statement: &Statement<'_>, piece: Range<usize>) -> Option<Source> {
    let mut at = piece.start;
    let inherits_not = statement.is(at, "only");
    while statement.is_any(at, &["only", "lateral"]) {
        at += 1;
    }
    let mut names = Vec::new();
    let mut last = None;
    if statement.is_symbol(at, "(") {
        at = statement.closing(at) + 1;
    } else {
        loop {
            names.push(statement.name(at)?.into_owned());
            last = Some(at);
            at += 1;
            if !statement.is_symbol(at, ".") {
                break;
            }
            at += 1;
        }
    }
    let mut table = !names.is_empty() && !inherits_not;
    if statement.is_symbol(at, "*") {
        at += 1;
    }
    // A function's arguments; what it returns is no table.
    if statement.is_symbol(at, "(") && !names.is_empty() {
        table = false;
        at = statement.closing(at) + 1;
    }
    if statement.is_phrase(at, "with ordinality") {
        at += 2;
    }
    let named = alias(statement, at, piece.end)?;
    let raw = |at: usize| statement.raw(at).to_owned();
    let alias = named.or(last).map(raw)?;
    if table && let [name] = names.as_slice() {
        table = !is_part(statement, name);
    }
    Some(Source { alias, table: table.then_some(names) })
}

/// The alias that begins at `at`, if there is one; the outer none: something else stands there.
fn alias(statement: &Statement<'_>, at: usize, end: usize) -> Option<Option<usize>> {
    if at >= end {
        return Some(None);
    }
    let at = if statement.is(at, "as") { at + 1 } else { at };
    if !matches!(statement.kind(at), Some(Kind::Word | Kind::Quoted)) {
        return None;
    }
    // The alias may name the columns as well.
    let behind = if statement.is_symbol(at + 1, "(") { statement.closing(at + 1) + 1 } else { at + 1 };
    (behind >= end).then_some(Some(at))
}

/// Whether WITH gives this name to a query.
fn is_part(statement: &Statement<'_>, name: &str) -> bool {
    (0..statement.len()).any(|at| {
        statement.name(at).is_some_and(|found| found.eq_ignore_ascii_case(name)) && begins_part(statement, at)
    })
}

fn begins_part(statement: &Statement<'_>, at: usize) -> bool {
    let listed = statement.follows(at, &["with", "recursive"]) || statement.follows_symbol(at, ",");
    let columns = statement.is_symbol(at + 1, "(");
    let behind = if columns { statement.closing(at + 1) + 1 } else { at + 1 };
    listed
        && statement.is(behind, "as")
        && (statement.is_symbol(behind + 1, "(") || statement.is_any(behind + 1, &["not", "materialized"]))
}

/// A name as the dialect quotes it.
pub(crate) fn quoted(dialect: Dialect, name: &str) -> String {
    let mark = if dialect == Dialect::MariaDb { '`' } else { '"' };
    let doubled: String = [mark, mark].iter().collect();
    format!("{mark}{}{mark}", name.replace(mark, &doubled))
}
