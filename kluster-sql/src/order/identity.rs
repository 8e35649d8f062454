//! Identity: terms that tell any two rows of a query's sources apart.
//!
//! PostgreSQL orders by the text of whole rows, which every source has: two rows with the same text are the same row for
//! all that can be computed of them. MariaDB and SQLite have no such thing; there a query over one table is ordered by the
//! table's key, which the text does not show: it becomes a [`Want`], which the node fulfils when it executes the statement.

use super::Found;
use super::query::{Clause, Query, split};
use super::source::{only_table, sources};
use crate::dialect::Dialect;
use crate::edits::Edit;
use crate::refusal::Refusal;
use crate::statement::Statement;
use crate::want::Want;
use std::ops::Range;

/// Where terms are put.
#[derive(Debug)]
pub(super) struct Place {
    /// The byte behind what stands before them.
    pub(super) at: usize,
    /// The first byte of the token before them.
    pub(super) blame: usize,
    /// There is no ORDER BY yet.
    pub(super) first: bool,
    /// What comes before the terms, where it is not just that.
    pub(super) lead: Option<String>,
    /// The columns that the ORDER BY names by themselves.
    pub(super) already: Vec<String>,
}

/// Adds terms to the ORDER BY at `place` that tell all rows of the query's sources apart.
pub(super) fn of_query(
    statement: &Statement<'_>,
    query: &Query,
    place: Place,
    refusal: &dyn Fn() -> Refusal,
    found: &mut Found,
) -> Result<(), Refusal> {
    let selects = query.items(statement).is_some();
    if query.compound || selects && query.at(Clause::Group).is_some() {
        return Err(refusal());
    }
    match statement.dialect {
        Dialect::Postgres => {
            let rows = sources(statement, query).ok_or_else(refusal)?;
            let terms: Vec<String> = rows.iter().map(|row| as_text(&format!("{}.*", row.alias))).collect();
            put(place, &terms, found);
        }
        Dialect::MariaDb | Dialect::Sqlite => {
            let source = match selects {
                true => only_table(statement, query),
                false => target(statement, query),
            };
            let source = source.ok_or_else(refusal)?;
            let qualifier = if selects { format!("{}.", source.alias) } else { String::new() };
            let table = source.table.ok_or_else(refusal)?;
            let Place { at, blame, first, already, .. } = place;
            let dialect = statement.dialect;
            found.wants.push(Want { dialect, table, qualifier, at, blame, first, already, refusal: refusal() });
        }
    }
    Ok(())
}

/// Adds these terms.
pub(super) fn put(place: Place, terms: &[String], found: &mut Found) {
    if terms.is_empty() {
        return;
    }
    let lead = place.lead.unwrap_or_else(|| if place.first { " order by " } else { ", " }.to_owned());
    found.add(Edit::insert(place.at, lead + &terms.join(", "), place.blame));
}

/// The table that an UPDATE or DELETE changes, if it is one.
fn target(statement: &Statement<'_>, query: &Query) -> Option<super::source::Source> {
    let start = query.at(Clause::Start)?;
    if statement.is(start, "delete") {
        return only_table(statement, query);
    }
    let mut named = query.range(Clause::Start)?.start + 1;
    while statement.is_any(named, &["low_priority", "ignore"]) {
        named += 1;
    }
    let until = query.range(Clause::Start)?.end;
    super::source::source(statement, named..until).filter(|source| source.table.is_some())
}

/// A value as a text that compares the same in every locale; of PostgreSQL, where any value has one.
pub(super) fn as_text(value: &str) -> String {
    format!("({value})::text collate \"C\"")
}

/// The column that a term of an ORDER BY names, if it is nothing else; without qualifier, in lower case.
pub(super) fn bare_name(statement: &Statement<'_>, term: Range<usize>) -> Option<String> {
    let mut end = term.end;
    while end > term.start && statement.is_any(end - 1, &["asc", "desc", "nulls", "first", "last"]) {
        end -= 1;
    }
    let last = end.checked_sub(1)?;
    let name = statement.name(last)?;
    (end > term.start && statement.qualified_from(last) == term.start).then(|| name.to_lowercase())
}

/// The terms of a GROUP BY, which tell groups apart; none where one of them is a number or a grouping set.
pub(super) fn of_groups(statement: &Statement<'_>, query: &Query) -> Option<Vec<String>> {
    use crate::token::Kind;
    let list = query.list(Clause::Group)?;
    let sets = ["rollup", "cube", "grouping", "with", "all", "distinct"];
    if list.clone().any(|at| statement.is_any(at, &sets)) {
        return None;
    }
    let terms = split(statement, list);
    let counted = |term: &Range<usize>| term.len() == 1 && statement.kind(term.start) == Some(Kind::Number);
    if terms.iter().any(counted) {
        return None;
    }
    Some(terms.into_iter().map(|term| super::rows::text(statement, term).to_owned()).collect())
}

/// The place behind the token before `behind`, where the ORDER BY whose terms are `list` goes on, or one would begin.
pub(super) fn place(statement: &Statement<'_>, behind: usize, list: Option<Range<usize>>) -> Place {
    let token = statement.token(behind.saturating_sub(1));
    let (blame, at) = token.map_or((0, 0), |token| (token.start as usize, token.end as usize));
    let terms = list.clone().map(|list| split(statement, list)).unwrap_or_default();
    let already = terms.into_iter().filter_map(|term| bare_name(statement, term)).collect();
    Place { at, blame, first: list.is_none(), lead: None, already }
}
