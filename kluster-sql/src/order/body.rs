//! Rows taken in no stated order: LIMIT, DISTINCT ON and numbering windows in statements that write.

use crate::dialect::Dialect;
use crate::refusal::Refusal;
use crate::scan::{Scan, refuse_checked};
use crate::statement::Statement;
use crate::token::Kind;

/// One level of parentheses: the query in it.
#[derive(Debug, Clone, Copy, Default)]
struct Query {
    ordered: bool,
    /// What needs an ORDER BY, and where it stands.
    needs: Option<(usize, &'static str)>,
    /// Whether only the query's having rows is asked.
    exists: bool,
}

/// Refuses a write that takes rows in no stated order. `writes`: whether the statement itself is one; the statements
/// of a body are looked at each for itself.
pub(crate) fn check(scan: &Scan<'_, '_>, writes: bool) -> Result<(), Refusal> {
    let statement = scan.statement;
    let (mut levels, mut writing) = (vec![Query::default()], writes);
    for at in 0..statement.len() {
        if scan.body && statement.kind(at) == Some(Kind::Word) && scan.begins_statement(at) {
            writing = statement.is_any(at, &["insert", "update", "delete", "merge", "replace", "with"]);
        }
        match statement.kind(at) {
            Some(Kind::Symbol) => symbol(statement, &mut levels, at)?,
            Some(Kind::Word) if writing && !statement.follows_symbol(at, ".") => word(statement, &mut levels, at)?,
            _ => {}
        }
    }
    levels.into_iter().try_for_each(|query| finish(statement, query))
}

fn symbol(statement: &Statement<'_>, levels: &mut Vec<Query>, at: usize) -> Result<(), Refusal> {
    if statement.is_symbol(at, "(") {
        levels.push(Query { exists: statement.follows(at, &["exists"]), ..Query::default() });
    } else if statement.is_symbol(at, ")") && levels.len() > 1 {
        levels.pop().map_or(Ok(()), |query| finish(statement, query))?;
    } else if statement.is_symbol(at, ";") && levels.len() == 1 {
        finish(statement, std::mem::take(&mut levels[0]))?;
    }
    Ok(())
}

fn word(statement: &Statement<'_>, levels: &mut [Query], at: usize) -> Result<(), Refusal> {
    let word = statement.raw(at);
    let top = levels.len() - 1;
    let query = &mut levels[top];
    if word.eq_ignore_ascii_case("select") {
        let exists = query.exists;
        finish(statement, std::mem::replace(query, Query { exists, ..Query::default() }))?;
    } else if word.eq_ignore_ascii_case("order") && statement.is(at + 1, "by") {
        query.ordered = true;
    } else if let Some(name) = taking(statement, at, word) {
        if !query.exists || name == "distinct on" {
            query.needs = query.needs.or(Some((at, name)));
        }
    } else if numbers_unordered(statement, at, word) {
        return Err(refuse_checked(statement, at, "row_number", &word.to_ascii_uppercase()));
    }
    Ok(())
}

/// What at `at` takes some rows of many.
fn taking(statement: &Statement<'_>, at: usize, word: &str) -> Option<&'static str> {
    let is = |other: &str| word.eq_ignore_ascii_case(other);
    let postgres = statement.dialect == Dialect::Postgres;
    // ALL and NULL are no limit.
    let counted = || !statement.is_any(at + 1, &["all", "null"]) && !statement.follows(at, &["as"]);
    match word.len() {
        5 if is("limit") && counted() => Some("limit"),
        // FETCH FIRST ROW ONLY, not FETCH NEXT FROM cursor.
        5 if is("fetch")
            && statement.is_any(at + 1, &["first", "next"])
            && !statement.is_any(at + 2, &["from", "in"]) =>
        {
            Some("fetch first")
        }
        6 if postgres && is("offset") && !statement.follows(at, &["as"]) => Some("offset"),
        8 if postgres && is("distinct") && statement.is(at + 1, "on") => Some("distinct on"),
        _ => None,
    }
}

/// Whether a window function at `at` depends on the order of rows, and its window states none.
fn numbers_unordered(statement: &Statement<'_>, at: usize, word: &str) -> bool {
    const NUMBERING: &[&str] = &["row_number", "lag", "lead", "ntile", "first_value", "last_value", "nth_value"];
    if !statement.is_symbol(at + 1, "(") || !NUMBERING.iter().any(|name| word.eq_ignore_ascii_case(name)) {
        return false;
    }
    let over = statement.closing(at + 1) + 1;
    statement.is(over, "over")
        && statement.is_symbol(over + 1, "(")
        // OVER (w) and OVER (w …) go on from a named window.
        && !names_window(statement, over + 2)
        && !(over..statement.closing(over + 1)).any(|inside| statement.is_phrase(inside, "order by"))
}

fn names_window(statement: &Statement<'_>, at: usize) -> bool {
    statement.name(at).is_some() && !statement.is_any(at, &["partition", "order", "rows", "range", "groups"])
}

fn finish(statement: &Statement<'_>, query: Query) -> Result<(), Refusal> {
    match query.needs {
        Some((at, name)) if !query.ordered => Err(refuse_checked(statement, at, name, &name.to_ascii_uppercase())),
        _ => Ok(()),
    }
}
