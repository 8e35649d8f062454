//! Queries of a statement, told from its tokens: where each has its clauses.
//!
//! A query is a SELECT, or an UPDATE or DELETE with clauses of its own. The members of a UNION are queries too; ORDER BY
//! and LIMIT behind them belong to the last one, which is marked as `compound`.

use crate::dialect::Dialect;
use crate::statement::Statement;
use crate::token::Kind;
use std::ops::Range;

/// What begins at a token of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clause {
    /// SELECT, or the word that begins another statement.
    Start,
    From,
    Where,
    Group,
    Having,
    Window,
    Order,
    /// LIMIT, OFFSET or FETCH.
    Limit,
    /// What stands behind or between: FOR UPDATE, INTO, RETURNING, ON CONFLICT.
    Other,
}

/// One query.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// Each clause's first token, in the order of the text. The first one is `Start`, unless the query is parenthesized
    /// members of a UNION only.
    clauses: Vec<(usize, Clause)>,
    /// The token behind its last one.
    end: usize,
    /// A member of a UNION, EXCEPT or INTERSECT.
    pub(super) compound: bool,
    /// Stands in EXISTS (…): only whether it has rows is asked.
    pub(super) exists: bool,
    /// Stands in ARRAY (…): the order of its rows is its value.
    pub(super) array: bool,
}

impl Query {
    /// All queries of a statement.
    pub(super) fn all(statement: &Statement<'_>) -> Vec<Query> {
        let mut found = Vec::new();
        let mut levels = vec![Query::empty(statement, None)];
        for at in 0..statement.len() {
            match statement.kind(at) {
                Some(Kind::Symbol) if statement.is_symbol(at, "(") => levels.push(Query::empty(statement, Some(at))),
                Some(Kind::Symbol) if statement.is_symbol(at, ")") && levels.len() > 1 => {
                    found.extend(levels.pop().and_then(|query| query.ended(at)));
                }
                Some(Kind::Word) => {
                    let top = levels.len() - 1;
                    word(statement, at, &mut levels[top], &mut found);
                }
                _ => {}
            }
        }
        let end = statement.len();
        found.extend(levels.into_iter().filter_map(|query| query.ended(end)));
        found
    }

    fn empty(statement: &Statement<'_>, open: Option<usize>) -> Self {
        let follows = |word| open.is_some_and(|open| statement.follows(open, &[word]));
        let array = statement.dialect == Dialect::Postgres && follows("array");
        Self { clauses: Vec::new(), end: 0, compound: false, exists: follows("exists"), array }
    }

    fn ended(self, end: usize) -> Option<Self> {
        (!self.clauses.is_empty()).then_some(Self { end, ..self })
    }

    /// The same query, alone: no member of a UNION.
    pub(super) fn alone(&self) -> Self {
        Self { compound: false, ..self.clone() }
    }

    /// Its first token.
    pub(super) fn start(&self) -> usize {
        self.clauses.first().map_or(self.end, |(at, _)| *at)
    }

    /// Whether a token is one of it or of a query inside it.
    pub(super) fn holds(&self, at: usize) -> bool {
        (self.start()..self.end).contains(&at)
    }

    /// The first token of the first such clause.
    pub(super) fn at(&self, clause: Clause) -> Option<usize> {
        self.clauses.iter().find(|(_, found)| *found == clause).map(|(at, _)| *at)
    }

    /// The tokens of the first such clause, its own words included.
    pub(super) fn range(&self, clause: Clause) -> Option<Range<usize>> {
        let index = self.clauses.iter().position(|(_, found)| *found == clause)?;
        let end = self.clauses.get(index + 1).map_or(self.end, |(at, _)| *at);
        Some(self.clauses[index].0..end)
    }

    /// The tokens of a clause of two words (ORDER BY, GROUP BY) behind them.
    pub(super) fn list(&self, clause: Clause) -> Option<Range<usize>> {
        self.range(clause).map(|range| range.start + 2..range.end)
    }

    /// Every LIMIT, OFFSET and FETCH, by its first token.
    pub(super) fn limits(&self) -> impl Iterator<Item = usize> + '_ {
        self.clauses.iter().filter(|(_, clause)| *clause == Clause::Limit).map(|(at, _)| *at)
    }

    /// The token in front of which an ORDER BY would stand, where there is none.
    pub(super) fn before_order(&self) -> usize {
        let behind = self.clauses.iter().find(|(_, clause)| matches!(clause, Clause::Limit | Clause::Other));
        behind.map_or(self.end, |(at, _)| *at)
    }

    /// What is selected, or none for what is no SELECT: the tokens behind SELECT, ALL, DISTINCT and DISTINCT ON (…).
    pub(super) fn items(&self, statement: &Statement<'_>) -> Option<Range<usize>> {
        let select = self.range(Clause::Start).filter(|range| statement.is(range.start, "select"))?;
        let mut from = select.start + 1;
        while statement.is_any(from, &["all", "distinct", "distinctrow", "straight_join", "sql_no_cache"]) {
            from += 1;
        }
        if let Some((open, close)) = self.distinct_on(statement) {
            debug_assert!(open < close);
            from = close + 1;
        }
        // DISTINCT UNION's own words never stand here.
        Some(from..select.end.max(from))
    }

    /// The parentheses of DISTINCT ON (…).
    pub(super) fn distinct_on(&self, statement: &Statement<'_>) -> Option<(usize, usize)> {
        let select = self.at(Clause::Start)?;
        let on = statement.dialect == Dialect::Postgres
            && statement.is_phrase(select, "select distinct on")
            && statement.is_symbol(select + 3, "(");
        on.then(|| (select + 3, statement.closing(select + 3)))
    }

    /// SELECT DISTINCT, without ON.
    pub(super) fn is_distinct(&self, statement: &Statement<'_>) -> bool {
        let distinct = |at| statement.is_any(at + 1, &["distinct", "distinctrow"]);
        self.distinct_on(statement).is_none() && self.at(Clause::Start).is_some_and(distinct)
    }
}

/// Takes the word at `at` of the query of its level.
fn word(statement: &Statement<'_>, at: usize, query: &mut Query, found: &mut Vec<Query>) {
    // AS makes any word a name, except in CREATE TABLE … AS SELECT.
    if statement.follows_symbol(at, ".") || statement.follows(at, &["as"]) && !statement.is(at, "select") {
        return;
    }
    let raw = statement.raw(at);
    if !(3..=9).contains(&raw.len()) && raw.len() != 2 {
        return;
    }
    let lower = raw.to_ascii_lowercase();
    let clause = match lower.as_str() {
        "select" | "update" | "delete" if begins(statement, at, query) => {
            let next = Query { clauses: vec![(at, Clause::Start)], ..query.clone() };
            found.extend(std::mem::replace(query, next).ended(at));
            return;
        }
        "union" | "except" | "intersect" => {
            let next = Query { clauses: Vec::new(), compound: true, ..query.clone() };
            let mut member = std::mem::replace(query, next);
            member.compound = true;
            found.extend(member.ended(at));
            return;
        }
        "from" if query.at(Clause::From).is_none() && !statement.follows(at, &["distinct"]) => Clause::From,
        "set" if query.at(Clause::Start).is_some_and(|start| statement.is(start, "update")) => Clause::Where,
        "where" => Clause::Where,
        "group" if statement.is(at + 1, "by") => Clause::Group,
        "having" => Clause::Having,
        "window" if statement.name(at + 1).is_some() && statement.is(at + 2, "as") => Clause::Window,
        "order" if statement.is(at + 1, "by") => Clause::Order,
        "limit" => Clause::Limit,
        "offset" if statement.dialect == Dialect::Postgres || query.at(Clause::Limit).is_some() => Clause::Limit,
        "offset" if statement.dialect == Dialect::MariaDb && counts_rows(statement, at + 1) => Clause::Limit,
        "fetch" if statement.is_any(at + 1, &["first", "next"]) => Clause::Limit,
        "for" if statement.is_any(at + 1, &["update", "share", "no", "key"]) => Clause::Other,
        "lock" if statement.is_phrase(at, "lock in share mode") => Clause::Other,
        "on" if statement.is_any(at + 1, &["conflict", "duplicate"]) => Clause::Other,
        "into" if !statement.follows(at, &["insert", "ignore", "replace", "merge"]) => Clause::Other,
        "returning" => Clause::Other,
        _ => return,
    };
    // Only what has begun has clauses: FROM also stands in EXTRACT (… FROM …), ORDER BY in an aggregate.
    if !query.clauses.is_empty() || query.compound && matches!(clause, Clause::Order | Clause::Limit) {
        query.clauses.push((at, clause));
    }
}

/// Whether a query begins at this SELECT, UPDATE or DELETE: not FOR UPDATE, ON UPDATE, ON DUPLICATE KEY UPDATE, DO UPDATE.
fn begins(statement: &Statement<'_>, at: usize, query: &Query) -> bool {
    if statement.is(at, "select") {
        return true;
    }
    query.clauses.is_empty() && !statement.follows(at, &["for", "on", "key", "do", "no", "then"])
}

/// MariaDB's `OFFSET n ROWS`, which may stand without LIMIT.
fn counts_rows(statement: &Statement<'_>, at: usize) -> bool {
    statement.is_any(at + 1, &["row", "rows"])
}

/// Splits `range` at its outermost commas.
pub(super) fn split(statement: &Statement<'_>, range: Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, range.start);
    for at in range.clone() {
        match statement.raw(at) {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                parts.push(start..at);
                start = at + 1;
            }
            _ => {}
        }
    }
    if start < range.end {
        parts.push(start..range.end);
    }
    parts
}
