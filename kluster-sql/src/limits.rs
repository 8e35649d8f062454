//! How much a text may hold. Part of the rule set: the same on every node, so that the stack or memory of one server is
//! rarely what ends a statement. The numbers stay well below what PostgreSQL 15 and MariaDB 10.11 bore with their
//! default settings when tried: MariaDB's 292 KiB thread stack ends at 600 additions in a row and 1000 nested calls,
//! PostgreSQL's 2 MiB at 4000 additions; a join of 300 tables plans for a minute, one of 1000 takes the server down.

use crate::dialect::Dialect;
use crate::refusal::{Refusal, RefusalCode};
use crate::token::{Kind, Token};

/// Bytes of one text: 8 MiB.
pub const MAX_TEXT: usize = 8 << 20;

/// Parentheses and brackets within one another, and CASE within CASE.
pub const MAX_DEPTH: usize = 128;

/// Operators in a row, in one expression.
pub const MAX_OPERATORS: usize = 256;

/// AND, OR, UNION, EXCEPT, INTERSECT in a row, between two commas of one list.
pub const MAX_TERMS: usize = 5_000;

/// JOINs of one query.
pub const MAX_JOINS: usize = 100;

/// The highest `$n`: SQLite's `SQLITE_MAX_VARIABLE_NUMBER`, the smallest of the three servers' limits.
pub const MAX_PARAMS: u32 = 32_766;

/// Refuses a text that is too long, or holds a NUL, before it is read.
pub(crate) fn check_text(sql: &str) -> Result<(), Refusal> {
    if sql.len() > MAX_TEXT {
        let message = format!("the text has {} bytes, more than the {MAX_TEXT} of one statement", sql.len());
        return Err(Refusal::whole(
            RefusalCode::TooLarge,
            message,
            "send it in several requests, or bind long values as parameters",
        ));
    }
    match sql.bytes().position(|b| b == 0) {
        Some(at) => {
            Err(Refusal::whole(RefusalCode::Syntax, "the text holds a NUL character", "leave it out").at(sql, at))
        }
        None => Ok(()),
    }
}

/// What has been counted at one level of parentheses.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    operators: usize,
    terms: usize,
    joins: usize,
}

/// Counts nesting and repetition while the tokens of a text go by.
#[derive(Debug)]
pub(crate) struct Counter {
    levels: Vec<Level>,
    cases: usize,
    symbol_end: u32,
}

impl Counter {
    pub(crate) fn new() -> Self {
        Self { levels: vec![Level::default()], cases: 0, symbol_end: u32::MAX }
    }

    /// Takes one token that carries meaning; says what it is too much of.
    pub(crate) fn count(&mut self, dialect: Dialect, token: &Token, sql: &str) -> Result<(), Refusal> {
        let excess = match token.kind {
            Kind::Symbol => self.symbol(token, sql),
            Kind::Word => self.word(token.text(sql)),
            _ => None,
        };
        excess.map_or(Ok(()), |(what, limit)| {
            let message = format!("more than {limit} {what}, which {} may not be able to hold", dialect.name());
            let refusal =
                Refusal::whole(RefusalCode::TooLarge, message, "split the statement, or bind values as parameters");
            Err(refusal.at(sql, token.start as usize))
        })
    }

    fn symbol(&mut self, token: &Token, sql: &str) -> Option<(&'static str, usize)> {
        let adjacent = std::mem::replace(&mut self.symbol_end, token.end) == token.start;
        match sql.as_bytes()[token.start as usize] {
            b'(' | b'[' | b'{' => self.levels.push(Level::default()),
            b')' | b']' | b'}' if self.levels.len() > 1 => drop(self.levels.pop()),
            b',' => (self.level().operators, self.level().terms) = (0, 0),
            b';' => *self.level() = Level::default(),
            b'.' => {}
            _ if !adjacent => self.level().operators += 1,
            _ => {}
        }
        self.excess()
    }

    fn word(&mut self, word: &str) -> Option<(&'static str, usize)> {
        // Longest and shortest of the words below: most words of a text end here.
        if !(2..=9).contains(&word.len()) {
            return None;
        }
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        match word.as_bytes()[0].to_ascii_lowercase() {
            b'a' | b'o' if is("and") || is("or") => {
                (self.level().operators, self.level().terms) = (0, self.level().terms + 1)
            }
            b'u' | b'e' | b'i' if is("union") || is("except") || is("intersect") => {
                let terms = self.level().terms;
                *self.level() = Level { terms: terms + 1, ..Level::default() };
            }
            b'j' if is("join") => (self.level().operators, self.level().joins) = (0, self.level().joins + 1),
            b'n' if is("not") => self.level().operators += 1,
            b'c' if is("case") => self.cases += 1,
            b'e' if is("end") => self.cases = self.cases.saturating_sub(1),
            b'f' | b'w' | b't' | b'e' if is("from") || is("where") || is("when") || is("then") || is("else") => {
                self.level().operators = 0
            }
            _ => return None,
        }
        self.excess()
    }

    fn level(&mut self) -> &mut Level {
        let top = self.levels.len() - 1;
        &mut self.levels[top]
    }

    fn excess(&mut self) -> Option<(&'static str, usize)> {
        let (depth, cases) = (self.levels.len() - 1, self.cases);
        let level = *self.level();
        match () {
            () if depth > MAX_DEPTH => Some(("parentheses within one another", MAX_DEPTH)),
            () if cases > MAX_DEPTH => Some(("CASEs within one another", MAX_DEPTH)),
            () if level.operators > MAX_OPERATORS => Some(("operators in one expression", MAX_OPERATORS)),
            () if level.terms > MAX_TERMS => Some(("conditions or queries in a row", MAX_TERMS)),
            () if level.joins > MAX_JOINS => Some(("joins in one query", MAX_JOINS)),
            () => None,
        }
    }
}
