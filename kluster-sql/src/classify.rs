//! What kind of statement a text is, told by its first words: read, plain write, or one that runs alone.

use crate::dialect::Dialect;
use crate::head::Head;
use crate::refusal::{Refusal, RefusalCode};
use crate::statement::Statement;
use serde::Serialize;

/// How the node runs a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Changes nothing. May share a transaction with other requests.
    Read,
    /// Plain INSERT, UPDATE, DELETE, MERGE, REPLACE, or a SELECT that locks rows. May share a transaction.
    Write,
    /// Must have a transaction of its own: DDL, DO, TRUNCATE, CALL, and what is not known here.
    Alone,
    /// MariaDB only: commits by itself, before and after, so that it needs the intent protocol.
    Ddl,
}

/// Where the statement proper begins: behind parentheses around a query, and behind EXPLAIN.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Classified {
    pub(crate) class: Class,
    /// The token with the first word of the statement proper.
    pub(crate) from: usize,
}

/// Tells the class of a statement.
pub(crate) fn classify(statement: &Statement<'_>) -> Result<Classified, Refusal> {
    let start = behind_parentheses(statement, 0);
    let Some(explained) = explained(statement, start) else {
        return Ok(Classified { class: class(statement, start), from: start });
    };
    let from = behind_parentheses(statement, explained.from);
    let class = class(statement, from);
    if explained.runs && class != Class::Read {
        let hint = "leave ANALYZE out, or send the statement itself";
        return Err(statement.refuse(start, RefusalCode::Unsupported, "this would run the write to measure it", hint));
    }
    Ok(Classified { class: Class::Read, from })
}

fn behind_parentheses(statement: &Statement<'_>, from: usize) -> usize {
    (from..statement.len()).find(|at| !statement.is_symbol(*at, "(")).unwrap_or(from)
}

/// A statement behind EXPLAIN or, in MariaDB, ANALYZE.
struct Explained {
    from: usize,
    /// Whether it is run to be measured.
    runs: bool,
}

fn explained(statement: &Statement<'_>, start: usize) -> Option<Explained> {
    let mariadb = statement.dialect == Dialect::MariaDb;
    let explains = statement.is(start, "explain") || mariadb && statement.is_any(start, &["describe", "desc"]);
    let measures = mariadb && statement.is(start, "analyze") && !is_maintenance(statement, start + 1);
    if !explains && !measures {
        return None;
    }
    let mut from = start + 1;
    let mut runs = measures;
    if statement.dialect == Dialect::Postgres && statement.is_symbol(from, "(") && !begins_query(statement, from + 1) {
        let close = statement.closing(from);
        runs |= (from..close).any(|at| statement.is_any(at, &["analyze", "analyse"]));
        from = close + 1;
    }
    while statement
        .is_any(from, &["analyze", "analyse", "verbose", "query", "plan", "extended", "partitions", "format"])
    {
        runs |= statement.is_any(from, &["analyze", "analyse"]);
        // FORMAT = JSON
        from += if statement.is_symbol(from + 1, "=") { 3 } else { 1 };
    }
    Some(Explained { from, runs })
}

/// ANALYZE TABLE, which gathers statistics and runs nothing.
fn is_maintenance(statement: &Statement<'_>, at: usize) -> bool {
    statement.is_any(at, &["table", "tables", "local", "no_write_to_binlog"])
}

fn begins_query(statement: &Statement<'_>, at: usize) -> bool {
    statement.is_symbol(at, "(") || statement.is_any(at, &["select", "with", "values", "table"])
}

fn class(statement: &Statement<'_>, from: usize) -> Class {
    let Some(first) = statement.word(from).map(str::to_ascii_lowercase) else {
        return Class::Alone;
    };
    match (first.as_str(), statement.dialect) {
        ("select" | "values" | "with", _) | ("table", Dialect::Postgres | Dialect::MariaDb) => query(statement, from),
        ("insert" | "update" | "delete", _) => Class::Write,
        ("merge", Dialect::Postgres) | ("replace", Dialect::MariaDb | Dialect::Sqlite) => Class::Write,
        ("show", Dialect::Postgres) => Class::Read,
        ("show" | "help" | "checksum", Dialect::MariaDb) => Class::Read,
        ("create" | "alter" | "drop" | "rename" | "truncate" | "analyze", Dialect::MariaDb) => Class::Ddl,
        _ => Class::Alone,
    }
}

/// A query is a read, unless one of its parts writes, locks rows, or makes a table.
fn query(statement: &Statement<'_>, from: usize) -> Class {
    let postgres = statement.dialect == Dialect::Postgres;
    let mut class = Class::Read;
    for at in from..statement.len() {
        let Some(word) = statement.word(at) else { continue };
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        match word.len() {
            3 if is("for") && statement.is_any(at + 1, &["update", "share", "no", "key"]) => class = Class::Write,
            4 if is("lock") && statement.is_phrase(at, "lock in share mode") => class = Class::Write,
            4 if postgres
                && is("into")
                && !statement.follows_symbol(at, ".")
                && !statement.follows(at, &["as", "insert", "merge"]) =>
            {
                return Class::Alone;
            }
            5..=7 if is("insert") || is("update") || is("delete") || is("merge") || !postgres && is("replace") => {
                let main = statement.follows_symbol(at, ")");
                if main || postgres && begins_part(statement, at) {
                    class = Class::Write;
                }
            }
            _ => {}
        }
    }
    class
}

/// Whether what begins at this word is a part of PostgreSQL's WITH: `AS [[NOT] MATERIALIZED] (…`. Elsewhere the word is a name.
fn begins_part(statement: &Statement<'_>, at: usize) -> bool {
    statement.follows_symbol(at, "(") && statement.follows(at - 1, &["as", "materialized"])
}

/// MariaDB gives a query's rows to a variable or file with INTO; neither is there on the next node.
pub(crate) fn check_into(statement: &Statement<'_>, class: Class) -> Result<(), Refusal> {
    if class != Class::Read || statement.dialect == Dialect::Postgres {
        return Ok(());
    }
    let into = (0..statement.len()).find(|at| {
        statement.is(*at, "into")
            && !statement.follows_symbol(*at, ".")
            && !statement.follows(*at, &["as", "insert", "replace"])
    });
    into.map_or(Ok(()), |at| {
        let hint = "read the rows from the response, or write INSERT … SELECT";
        Err(statement.refuse(
            at,
            RefusalCode::Unsupported,
            "SELECT … INTO gives the rows to something outside the data",
            hint,
        ))
    })
}

/// Whether the head is that of a trigger, routine or rule, whose body may hold statements.
pub(crate) fn has_body(head: &Head<'_>) -> bool {
    [
        "create function",
        "create procedure",
        "create trigger",
        "create rule",
        "create schema",
        "create package",
        "alter event",
    ]
    .iter()
    .any(|pattern| head.is(pattern))
}
