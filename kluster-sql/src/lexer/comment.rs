//! Comments: which are none, and where they end.

use super::{Found, LexError, Lexer};
use crate::dialect::Dialect;
use crate::token::Kind;

impl Lexer<'_> {
    /// Whether `--` begins a comment. MariaDB wants a blank, a control character or the end behind it (`5--1` is 6).
    pub(super) fn dashes_comment(&self) -> bool {
        self.dialect != Dialect::MariaDb || self.byte(self.at + 2) <= b' ' || self.byte(self.at + 2) == 0x7F
    }

    /// The end of the line at `from`, its line end left out.
    ///
    /// PostgreSQL ends a comment at a carriage return too, the others only at a line feed.
    pub(super) fn line_end(&self, from: usize) -> usize {
        let postgres = self.dialect == Dialect::Postgres;
        self.run(from, |b| b != b'\n' && !(postgres && b == b'\r'))
    }

    pub(super) fn block_comment(&self) -> Found {
        let kind = if self.executable() { Kind::ExecutableComment } else { Kind::Comment };
        let nests = self.dialect == Dialect::Postgres;
        let (mut at, mut depth) = (self.at + 2, 1_usize);
        while at < self.text.len() {
            match (self.byte(at), self.byte(at + 1)) {
                (b'*', b'/') => {
                    (at, depth) = (at + 2, depth - 1);
                    if depth == 0 {
                        return Ok((kind, at));
                    }
                }
                (b'/', b'*') if nests => (at, depth) = (at + 2, depth + 1),
                _ => at += 1,
            }
        }
        Err(LexError { what: "a comment", at: self.at })
    }

    /// `/*!` and `/*M!` are run by MariaDB; `/*+` holds optimizer hints, which can set variables and time limits.
    fn executable(&self) -> bool {
        self.dialect == Dialect::MariaDb
            && match self.byte(self.at + 2) {
                b'!' | b'+' => true,
                b'M' | b'm' => self.byte(self.at + 3) == b'!',
                _ => false,
            }
    }
}
