//! Bodies: which `;` end a statement, and which stand inside the body of a trigger or routine.
//!
//! Shared by `split` (where does the next statement begin) and `admit` (is this one statement).

mod blocks;

use crate::dialect::Dialect;
use crate::token::{Kind, Token};
use blocks::Blocks;

/// What the statement so far can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// Nothing read yet.
    Start,
    /// CREATE and words that may follow it; the tokens left in which TRIGGER, FUNCTION, … can still come.
    Create(u8),
    /// A trigger or routine, whose body may hold statements.
    Routine,
    /// Anything else.
    Plain,
}

/// Follows the tokens of one statement and knows whether a `;` would end it.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    dialect: Dialect,
    head: Head,
    /// BEGINs and CASEs that are open, in PostgreSQL and SQLite.
    depth: u32,
    /// What is open in a trigger or routine of MariaDB.
    blocks: Option<Blocks>,
    parentheses: u32,
    previous: Previous,
}

/// What the token before was, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Previous {
    Other,
    Semicolon,
    Dot,
    Begin,
}

impl Body {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, head: Head::Start, depth: 0, blocks: None, parentheses: 0, previous: Previous::Other }
    }

    /// Takes the next token that carries meaning; true if it is a `;` that ends the statement.
    pub(crate) fn ends(&mut self, token: &Token, text: &str) -> bool {
        let raw = token.text(text);
        let before = std::mem::replace(&mut self.previous, Previous::Other);
        match token.kind {
            Kind::Word if before != Previous::Dot => self.word(raw, before),
            Kind::Symbol => return self.symbol(raw),
            kind => match &mut self.blocks {
                Some(blocks) => blocks.value(kind),
                None => self.count_down(),
            },
        }
        false
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        // Behind `@` stands a variable's name, whatever the word is.
        if symbol == "." || symbol == "@" && self.dialect == Dialect::MariaDb {
            self.previous = Previous::Dot;
        }
        if let Some(blocks) = &mut self.blocks {
            return match symbol {
                ";" => blocks.semicolon(),
                _ => {
                    blocks.symbol(symbol);
                    false
                }
            };
        }
        match symbol {
            "(" => self.parentheses += 1,
            ")" => self.parentheses = self.parentheses.saturating_sub(1),
            ";" => {
                self.previous = Previous::Semicolon;
                // PostgreSQL's rules hold several statements in parentheses.
                let inside = self.dialect == Dialect::Postgres && self.parentheses > 0;
                return self.depth == 0 && !inside;
            }
            _ => {}
        }
        self.count_down();
        false
    }

    /// Anything that is not a word may follow a CREATE's first words, and ends the hope for a first word.
    fn count_down(&mut self) {
        match self.head {
            Head::Start => self.head = Head::Plain,
            Head::Create(left) => self.head = if left == 0 { Head::Plain } else { Head::Create(left - 1) },
            Head::Routine | Head::Plain => {}
        }
    }

    fn word(&mut self, word: &str, before: Previous) {
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        match self.head {
            Head::Plain => {}
            // DEFINER = `a`@`b` and other options are fewer tokens than these.
            Head::Start => self.head = if is("create") { Head::Create(16) } else { Head::Plain },
            Head::Create(_) if is("trigger") || is("function") || is("procedure") || is("event") || is("package") => {
                self.head = Head::Routine;
                self.blocks = (self.dialect == Dialect::MariaDb).then(|| Blocks::of(word));
            }
            Head::Create(_)
                if is("table") || is("view") || is("index") || is("sequence") || is("type") || is("schema") =>
            {
                self.head = Head::Plain;
            }
            Head::Create(_) => self.count_down(),
            Head::Routine => match &mut self.blocks {
                Some(blocks) => blocks.word(word),
                None => self.routine_word(word, before),
            },
        }
    }

    /// A word of a trigger or routine of PostgreSQL or SQLite.
    fn routine_word(&mut self, word: &str, before: Previous) {
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        match self.dialect {
            // As SQLite's own `sqlite3_complete`: the trigger ends at an END behind a `;`, which no CASE can have.
            Dialect::Sqlite if is("begin") && self.depth == 0 => self.depth = 1,
            Dialect::Sqlite if is("end") && before == Previous::Semicolon => self.depth = 0,
            Dialect::Sqlite => {}
            Dialect::Postgres if is("begin") => self.previous = Previous::Begin,
            Dialect::Postgres if is("atomic") && before == Previous::Begin => self.depth += 1,
            // BEGIN ATOMIC … END, and CASE … END within.
            Dialect::Postgres if self.depth > 0 && is("case") => self.depth += 1,
            Dialect::Postgres if is("end") => self.depth = self.depth.saturating_sub(1),
            Dialect::Postgres | Dialect::MariaDb => {}
        }
    }
}
