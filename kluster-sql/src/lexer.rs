//! The lexer: cuts a text into tokens exactly where the DBMS would, as far as strings, comments and names go.
//!
//! Invariants
//! 1. Spans rise and, without an error, cover the whole text.
//! 2. What the DBMS takes for code is never taken for a string or comment here. Where versions of a DBMS differ, the
//!    reading that sees more code is taken.
//! 3. Linear time, no recursion, no panic on any input.

mod comment;
mod quote;

use crate::dialect::Dialect;
use crate::token::{Kind, Token};

/// A text that ends inside something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}, begun at byte {at}, does not end")]
pub struct LexError {
    /// What does not end.
    pub what: &'static str,
    /// The byte at which it begins.
    pub at: usize,
}

/// Cuts a text into tokens, lazily. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    dialect: Dialect,
    text: &'a str,
    at: usize,
}

type Found = Result<(Kind, usize), LexError>;

impl<'a> Lexer<'a> {
    /// A lexer at the beginning of `text`.
    #[must_use]
    pub fn new(dialect: Dialect, text: &'a str) -> Self {
        Self { dialect, text, at: 0 }
    }

    /// The byte at which the next token begins.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Goes on from another byte, which must be a character's first.
    pub(crate) fn jump(&mut self, at: usize) {
        self.at = at;
    }

    fn byte(&self, at: usize) -> u8 {
        // Behind the end stands a NUL, which begins nothing.
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    fn token(&self) -> Found {
        let (at, next) = (self.at, self.byte(self.at + 1));
        match self.byte(at) {
            b' ' | b'\t'..=b'\r' => Ok((Kind::Space, self.run(at, |b| matches!(b, b' ' | b'\t'..=b'\r')))),
            b'-' if next == b'-' && self.dashes_comment() => Ok((Kind::Comment, self.line_end(at))),
            b'#' if self.dialect == Dialect::MariaDb => Ok((Kind::Comment, self.line_end(at))),
            b'/' if next == b'*' => self.block_comment(),
            b'\'' => self.text_literal(at),
            b'"' => self.double_quoted(at),
            b'`' if self.dialect != Dialect::Postgres => self.quoted_name(at, b'`'),
            b'[' if self.dialect == Dialect::Sqlite => self.bracketed(),
            b'$' => self.dollar(),
            b'?' if self.dialect != Dialect::Postgres => {
                Ok((Kind::Placeholder, self.run(at + 1, |b| b.is_ascii_digit())))
            }
            b':' | b'@' | b'#' if self.dialect == Dialect::Sqlite && continues_name(next) => {
                Ok((Kind::Placeholder, self.run(at + 1, continues_name)))
            }
            b':' if next == b':' => Ok((Kind::Symbol, at + 2)),
            b'0'..=b'9' => Ok((Kind::Number, self.number())),
            0xEF if self.byte_order_mark() => Ok((Kind::Space, at + 3)),
            b if begins_name(b) => self.word(),
            _ => Ok((Kind::Symbol, at + 1)),
        }
    }

    /// The end of the bytes from `from` on that `belong`.
    fn run(&self, from: usize, belong: impl Fn(u8) -> bool) -> usize {
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        from + rest.iter().position(|b| !belong(*b)).unwrap_or(rest.len())
    }

    /// SQLite passes over a byte order mark wherever a token could begin.
    fn byte_order_mark(&self) -> bool {
        self.dialect == Dialect::Sqlite && self.byte(self.at + 1) == 0xBB && self.byte(self.at + 2) == 0xBF
    }

    /// A name, or a string whose prefix looks like one (`E'…'`, `U&'…'`, `X'…'`).
    fn word(&self) -> Found {
        let (at, next) = (self.at, self.byte(self.at + 1));
        let prefixed = match (self.byte(at).to_ascii_lowercase(), self.dialect) {
            (b'e', Dialect::Postgres) | (b'n' | b'b', Dialect::Postgres | Dialect::MariaDb) | (b'x', _) => {
                next == b'\''
            }
            (b'u', Dialect::Postgres) if next == b'&' => match self.byte(at + 2) {
                b'\'' => return self.text_literal(at + 2),
                b'"' => return self.double_quoted(at + 2),
                _ => false,
            },
            _ => false,
        };
        if prefixed { self.text_literal(at + 1) } else { Ok((Kind::Word, self.run(at, continues_name))) }
    }

    /// What begins with `$`: a parameter, a dollar quote, or a name of a dialect that has such.
    fn dollar(&self) -> Found {
        let at = self.at;
        let digits = self.run(at + 1, |b| b.is_ascii_digit());
        if self.dialect == Dialect::Sqlite {
            // `$1a` is a name to SQLite.
            return Ok(match self.run(at + 1, continues_name) {
                name if name == at + 1 => (Kind::Symbol, name),
                name if name == digits => (Kind::Param, name),
                name => (Kind::Placeholder, name),
            });
        }
        match self.dialect {
            _ if digits > at + 1 => Ok((Kind::Param, digits)),
            Dialect::MariaDb => Ok((Kind::Word, self.run(at + 1, continues_name))),
            Dialect::Postgres | Dialect::Sqlite => self.dollar_quoted(),
        }
    }

    /// Digits, fraction and exponent, as little as any version of the DBMS would take: what follows is then seen.
    fn number(&self) -> usize {
        let at = self.at;
        if self.byte(at) == b'0' {
            let base: fn(u8) -> bool = match self.byte(at + 1).to_ascii_lowercase() {
                b'x' => |b| b.is_ascii_hexdigit(),
                b'o' | b'b' => |b| b.is_ascii_digit(),
                _ => |_| false,
            };
            let end = self.run(at + 2, base);
            if end > at + 2 {
                return end;
            }
        }
        let mut end = self.run(at, |b| b.is_ascii_digit());
        // `1..10` of a loop is a number and two dots.
        if self.byte(end) == b'.' && self.byte(end + 1) != b'.' {
            end = self.run(end + 1, |b| b.is_ascii_digit());
        }
        if self.byte(end).eq_ignore_ascii_case(&b'e') {
            let sign = usize::from(matches!(self.byte(end + 1), b'+' | b'-'));
            let digits = self.run(end + 1 + sign, |b| b.is_ascii_digit());
            if digits > end + 1 + sign {
                end = digits;
            }
        }
        end
    }
}

/// Names begin with a letter, `_` or any character outside ASCII.
fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// Names go on with digits and `$` too, in all three dialects.
pub(crate) fn continues_name(byte: u8) -> bool {
    begins_name(byte) || byte.is_ascii_digit() || byte == b'$'
}

impl Iterator for Lexer<'_> {
    type Item = Result<Token, LexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.text.len() {
            return None;
        }
        let Ok(start) = u32::try_from(self.at) else {
            let at = std::mem::replace(&mut self.at, self.text.len());
            return Some(Err(LexError { what: "a text of more than 4 GiB", at }));
        };
        match self.token() {
            Ok((kind, end)) => {
                self.at = end;
                Some(
                    u32::try_from(end)
                        .map(|end| Token { kind, start, end })
                        .map_err(|_| LexError { what: "a text of more than 4 GiB", at: start as usize }),
                )
            }
            Err(error) => {
                self.at = self.text.len();
                Some(Err(error))
            }
        }
    }
}
