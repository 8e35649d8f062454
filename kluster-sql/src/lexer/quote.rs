//! Strings and quoted names: where they end.

use super::{Found, LexError, Lexer, begins_name};
use crate::dialect::Dialect;
use crate::token::Kind;

const STRING: &str = "a string";
const NAME: &str = "a quoted name";

impl Lexer<'_> {
    /// A string whose quote stands at `quote` (behind its prefix, if it has one).
    pub(super) fn text_literal(&self, quote: usize) -> Found {
        let backslash = match self.dialect {
            Dialect::Postgres => quote > self.at && matches!(self.byte(self.at), b'e' | b'E'),
            Dialect::MariaDb => true,
            Dialect::Sqlite => false,
        };
        let mut end = self.closed(quote, b'\'', backslash).ok_or(LexError { what: STRING, at: self.at })?;
        if self.dialect == Dialect::Postgres {
            while let Some(quote) = self.continuation(end) {
                end = self.closed(quote, b'\'', backslash).ok_or(LexError { what: STRING, at: quote })?;
            }
        }
        Ok((Kind::Text, end))
    }

    /// Where a string goes on for PostgreSQL: a quote behind blanks and `--` comments that hold a line end. The part
    /// keeps the rules of the first one: behind `E'…'` a backslash escapes in it too.
    fn continuation(&self, from: usize) -> Option<usize> {
        let (mut at, mut line_end) = (from, false);
        loop {
            match self.byte(at) {
                b'\n' | b'\r' => (at, line_end) = (at + 1, true),
                b' ' | b'\t' | 0x0B | 0x0C => at += 1,
                b'-' if self.byte(at + 1) == b'-' => at = self.line_end(at),
                b'\'' if line_end => return Some(at),
                _ => return None,
            }
        }
    }

    pub(super) fn double_quoted(&self, quote: usize) -> Found {
        match self.dialect {
            Dialect::MariaDb => match self.closed(quote, b'"', true) {
                Some(end) => Ok((Kind::Text, end)),
                None => Err(LexError { what: STRING, at: self.at }),
            },
            Dialect::Postgres | Dialect::Sqlite => self.quoted_name(quote, b'"'),
        }
    }

    pub(super) fn quoted_name(&self, quote: usize, mark: u8) -> Found {
        let end = self.closed(quote, mark, false).ok_or(LexError { what: NAME, at: self.at })?;
        Ok((Kind::Quoted, end))
    }

    /// SQLite's `[name]`, which knows no escape.
    pub(super) fn bracketed(&self) -> Found {
        let end = self.run(self.at, |b| b != b']');
        if end < self.text.len() { Ok((Kind::Quoted, end + 1)) } else { Err(LexError { what: NAME, at: self.at }) }
    }

    /// `$tag$ … $tag$`, or a lone `$`, which is then the server's syntax error.
    pub(super) fn dollar_quoted(&self) -> Found {
        let tag_end = self.run(self.at + 1, |b| begins_name(b) || b.is_ascii_digit());
        if self.byte(tag_end) != b'$' {
            return Ok((Kind::Symbol, self.at + 1));
        }
        let tag = &self.text[self.at..=tag_end];
        match self.text[tag_end + 1..].find(tag) {
            Some(body) => Ok((Kind::Dollar, tag_end + 1 + body + tag.len())),
            None => Err(LexError { what: "a dollar-quoted string", at: self.at }),
        }
    }

    /// The byte behind the mark that closes what the mark at `open` opened. A doubled mark does not close.
    fn closed(&self, open: usize, mark: u8, backslash: bool) -> Option<usize> {
        let mut at = open + 1;
        loop {
            at = self.run(at, |b| b != mark && !(backslash && b == b'\\'));
            match self.byte(at) {
                _ if at >= self.text.len() => return None,
                b'\\' if backslash => at += 2,
                _ if self.byte(at + 1) == mark => at += 2,
                _ => return Some(at + 1),
            }
        }
    }
}
