//! Rows: LIMIT, OFFSET, FETCH, DISTINCT ON and `array(select …)` take some rows, or take them in an order.
//!
//! Rows that the ORDER BY leaves equal are told apart by all that the query selects: rows that agree in all of it may be
//! taken one for the other. Where the text does not show what is selected (`*`), they are told apart by the whole rows
//! (PostgreSQL) or by the key of the one table (elsewhere).

use super::Found;
use super::identity::{self, Place};
use super::query::{Clause, Query, split};
use crate::dialect::Dialect;
use crate::edits::Edit;
use crate::refusal::Refusal;
use crate::scan::refuse_checked;
use crate::statement::Statement;
use crate::token::Kind;
use std::ops::Range;

/// Makes the order in which a query takes rows total.
pub(super) fn make_total(statement: &Statement<'_>, query: &Query, found: &mut Found) -> Result<(), Refusal> {
    let Some((at, name)) = taking(statement, query) else { return Ok(()) };
    let refusal = || refuse_checked(statement, at, name, &name.to_ascii_uppercase());
    if keeps_ties(statement, query) {
        return Err(refusal());
    }
    let list = query.list(Clause::Order);
    let place = identity::place(statement, list.as_ref().map_or(query.before_order(), |list| list.end), list);
    let lead = match (query.at(Clause::Order), query.distinct_on(statement)) {
        (Some(_), _) => ", ".to_owned(),
        (None, Some((open, close))) => format!(" order by {}, ", text(statement, open + 1..close)),
        (None, None) => " order by ".to_owned(),
    };
    // No items: UPDATE or DELETE with LIMIT, or a UNION of parentheses, of which it is not seen here what they select.
    let Some(terms) = query.items(statement).and_then(|items| terms(statement, query, items)) else {
        if statement.dialect == Dialect::Postgres && query.is_distinct(statement) {
            return Err(refusal());
        }
        let place = Place { lead: Some(lead), ..place };
        return identity::of_query(statement, query, place, &refusal, found);
    };
    if !terms.is_empty() {
        found.add(Edit::insert(place.at, lead + &terms.join(", "), place.blame));
    }
    Ok(())
}

/// What of a query follows the order of rows, and its token.
fn taking(statement: &Statement<'_>, query: &Query) -> Option<(usize, &'static str)> {
    let ties = keeps_ties(statement, query);
    let limit = query.limits().find_map(|at| limit(statement, at).map(|name| (at, name)));
    let limit = limit.filter(|(_, name)| !query.exists && (!ties || *name != "fetch first"));
    let distinct = || query.distinct_on(statement).map(|(open, _)| (open - 2, "distinct on"));
    let array = || query.at(Clause::Start).filter(|_| query.array).map(|at| (at, "array(select …)"));
    limit.or_else(distinct).or_else(array)
}

/// FETCH … WITH TIES: rows that tie are taken together, so that their order must stay open.
fn keeps_ties(statement: &Statement<'_>, query: &Query) -> bool {
    query.limits().any(|at| {
        let end = statement.len().min(at + 8);
        (at..end).any(|at| statement.is_phrase(at, "with ties"))
    })
}

/// What the LIMIT, OFFSET or FETCH at `at` is called in the rules; none: it takes all rows.
fn limit(statement: &Statement<'_>, at: usize) -> Option<&'static str> {
    let all = statement.is_any(at + 1, &["all", "null"]);
    match () {
        () if statement.is(at, "limit") => (!all).then_some("limit"),
        () if statement.is(at, "fetch") => Some("fetch first"),
        () => (!all && statement.raw(at + 1) != "0").then_some("offset"),
    }
}

/// Terms of an ORDER BY that tell apart rows by all that is selected; none: the text does not show all of it.
fn terms(statement: &Statement<'_>, query: &Query, items: Range<usize>) -> Option<Vec<String>> {
    let ordered: Vec<String> = query
        .list(Clause::Order)
        .map(|list| split(statement, list).into_iter().map(|term| sort_key(statement, term)).collect())
        .unwrap_or_default();
    let mut terms = Vec::new();
    for (n, item) in split(statement, items).into_iter().enumerate() {
        if item.end > item.start && statement.is_symbol(item.end - 1, "*") && is_star(statement, &item) {
            return None;
        }
        let constant =
            item.len() == 1 && matches!(statement.kind(item.start), Some(Kind::Text | Kind::Number | Kind::Param));
        let name = name_of(statement, item.clone());
        // ORDER BY takes a name for that of a selected item first: only one without an alias is surely meant.
        let sorted =
            !query.compound && ordered.iter().any(|key| key.eq_ignore_ascii_case(text(statement, item.clone())));
        if constant || sorted && name.is_some() && statement.dialect == Dialect::Postgres {
            continue;
        }
        let by_value = !query.compound && !query.is_distinct(statement);
        terms.push(match (statement.dialect, name) {
            (Dialect::Postgres, Some(name)) if by_value => identity::as_text(&name),
            (Dialect::Sqlite, _) => format!("{} collate binary", n + 1),
            // Texts of unlike case are equal to most of its collations.
            (Dialect::MariaDb, Some(name)) if by_value => format!("binary {name}"),
            _ => (n + 1).to_string(),
        });
    }
    Some(terms)
}

/// `*` or `t.*`, not a product.
fn is_star(statement: &Statement<'_>, item: &Range<usize>) -> bool {
    item.len() == 1 || statement.follows_symbol(item.end - 1, ".")
}

/// A term of an ORDER BY without its direction.
fn sort_key(statement: &Statement<'_>, term: Range<usize>) -> String {
    let mut end = term.end;
    while end > term.start && statement.is_any(end - 1, &["asc", "desc", "nulls", "first", "last"]) {
        end -= 1;
    }
    text(statement, term.start..end).to_owned()
}

/// The column of an item that is nothing else, its alias left out.
fn name_of(statement: &Statement<'_>, item: Range<usize>) -> Option<String> {
    const NO_COLUMNS: &[&str] = &["null", "true", "false", "default"];
    let mut at = item.start;
    let named = |at: usize| matches!(statement.kind(at), Some(Kind::Word | Kind::Quoted));
    loop {
        if !named(at) || statement.is_any(at, NO_COLUMNS) {
            return None;
        }
        at += 1;
        if !statement.is_symbol(at, ".") {
            break;
        }
        at += 1;
    }
    let column = text(statement, item.start..at).to_owned();
    let alias = if statement.is(at, "as") { at + 1 } else { at };
    (at == item.end || named(alias) && alias + 1 == item.end).then_some(column)
}

/// The text of some tokens.
pub(super) fn text<'a>(statement: &Statement<'a>, tokens: Range<usize>) -> &'a str {
    match (statement.token(tokens.start), tokens.end.checked_sub(1).and_then(|last| statement.token(last))) {
        (Some(first), Some(last)) if tokens.start < tokens.end => {
            &statement.sql[first.start as usize..last.end as usize]
        }
        _ => "",
    }
}
