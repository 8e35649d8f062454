//! One text as its tokens, blanks left out, with the questions that rules ask of it.

use std::borrow::Cow;

use crate::body::Body;
use crate::dialect::Dialect;
use crate::lexer::Lexer;
use crate::limits::Counter;
use crate::literal;
use crate::refusal::{Refusal, RefusalCode};
use crate::token::{Kind, Token};

/// The tokens of one statement (or of the body of one), blanks and comments left out.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) sql: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Statement<'a> {
    /// Reads a text that must hold exactly one statement; one `;` may end it.
    pub(crate) fn read(dialect: Dialect, sql: &'a str) -> Result<Self, Refusal> {
        let mut statement = Self::read_body(dialect, sql)?;
        let mut body = Body::new(dialect);
        let end = statement.tokens.iter().position(|token| body.ends(token, sql)).unwrap_or(statement.tokens.len());
        if let Some(second) = statement.tokens.get(end + 1) {
            let hint = "send each statement as a request of its own, or all of them as `statements` of one request";
            return Err(Refusal::whole(RefusalCode::SeveralStatements, "the text holds more than one statement", hint)
                .at(sql, second.start as usize));
        }
        statement.tokens.truncate(end);
        if statement.tokens.is_empty() {
            return Err(Refusal::whole(RefusalCode::Syntax, "the text holds no statement", "send one SQL statement"));
        }
        Ok(statement)
    }

    /// Reads the body of a routine, which may hold any number of statements.
    pub(crate) fn read_body(dialect: Dialect, sql: &'a str) -> Result<Self, Refusal> {
        let mut counter = Counter::new();
        let mut tokens = Vec::with_capacity(sql.len().min(4096) / 4);
        for token in Lexer::new(dialect, sql) {
            let token = token.map_err(|error| {
                let message = format!("{}, begun here, does not end", error.what);
                Refusal::whole(RefusalCode::Syntax, message, "close it, or double the quote inside it")
                    .at(sql, error.at)
            })?;
            if !token.is_blank() {
                counter.count(dialect, &token, sql)?;
                tokens.push(token);
            }
        }
        Ok(Self { dialect, sql, tokens })
    }

    /// How many tokens it has.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn token(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at)
    }

    pub(crate) fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// The token as it is written; empty outside the statement.
    pub(crate) fn raw(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text(self.sql))
    }

    /// The unquoted word at `at`, as it is written.
    pub(crate) fn word(&self, at: usize) -> Option<&'a str> {
        self.tokens.get(at).filter(|token| token.kind == Kind::Word).map(|token| token.text(self.sql))
    }

    /// The name at `at`, quoted or not.
    pub(crate) fn name(&self, at: usize) -> Option<Cow<'a, str>> {
        self.tokens.get(at).and_then(|token| literal::name(token, self.sql))
    }

    /// The value of the string at `at`.
    pub(crate) fn value(&self, at: usize) -> Option<Cow<'a, str>> {
        let token = self.tokens.get(at).filter(|token| matches!(token.kind, Kind::Text | Kind::Dollar))?;
        Some(literal::value(self.dialect, token, self.sql))
    }

    /// Whether the unquoted word `word` (lower case) stands at `at`.
    pub(crate) fn is(&self, at: usize, word: &str) -> bool {
        self.word(at).is_some_and(|found| found.eq_ignore_ascii_case(word))
    }

    /// Whether one of `words` stands at `at`.
    pub(crate) fn is_any(&self, at: usize, words: &[&str]) -> bool {
        self.word(at).is_some_and(|found| words.iter().any(|word| found.eq_ignore_ascii_case(word)))
    }

    /// Whether one of `words` stands just before `at`.
    pub(crate) fn follows(&self, at: usize, words: &[&str]) -> bool {
        at.checked_sub(1).is_some_and(|before| self.is_any(before, words))
    }

    /// Whether `words`, separated by single spaces, stand at `at` and after it.
    pub(crate) fn is_phrase(&self, at: usize, words: &str) -> bool {
        words.split(' ').enumerate().all(|(n, word)| self.is(at + n, word))
    }

    /// Whether the symbol `symbol` stands at `at`.
    pub(crate) fn is_symbol(&self, at: usize, symbol: &str) -> bool {
        self.kind(at) == Some(Kind::Symbol) && self.raw(at) == symbol
    }

    /// Whether the symbol stands just before `at`.
    pub(crate) fn follows_symbol(&self, at: usize, symbol: &str) -> bool {
        at.checked_sub(1).is_some_and(|before| self.is_symbol(before, symbol))
    }

    /// The token that closes the parenthesis at `open`, or the end of the statement.
    pub(crate) fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for at in open..self.len() {
            if self.is_symbol(at, "(") {
                depth += 1;
            } else if self.is_symbol(at, ")") {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
        }
        self.len()
    }

    /// The first of the names joined by dots that end at `at` (`a` in `a.b.c`, `at` on `c`).
    pub(crate) fn qualified_from(&self, at: usize) -> usize {
        let mut first = at;
        while first >= 2
            && self.is_symbol(first - 1, ".")
            && matches!(self.kind(first - 2), Some(Kind::Word | Kind::Quoted))
        {
            first -= 2;
        }
        first
    }

    /// The tokens of the statement at parenthesis depth 0, from `from` on.
    pub(crate) fn outermost(&self, from: usize) -> impl Iterator<Item = usize> + '_ {
        let mut depth = 0_usize;
        (from..self.len()).filter(move |at| {
            if self.is_symbol(*at, "(") {
                depth += 1;
                return false;
            }
            if self.is_symbol(*at, ")") {
                depth = depth.saturating_sub(1);
                return false;
            }
            depth == 0
        })
    }

    /// A refusal that blames the token at `at`.
    pub(crate) fn refuse(
        &self,
        at: usize,
        code: RefusalCode,
        message: impl Into<String>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Refusal {
        let refusal = Refusal::whole(code, message, hint);
        match self.tokens.get(at) {
            Some(token) => refusal.at(self.sql, token.start as usize),
            None => refusal,
        }
    }
}
