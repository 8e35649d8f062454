//! Tokens: what kind of thing stands where in a text.

/// What a token is. `Space`, `Comment` carry no meaning; all others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Blanks and line ends (in SQLite a byte order mark too).
    Space,
    /// A comment that the DBMS ignores.
    Comment,
    /// MariaDB's `/*! … */`, `/*M! … */` and `/*+ … */`: looks like a comment, is code.
    ExecutableComment,
    /// An identifier or keyword without quotes.
    Word,
    /// A quoted identifier: `"…"` (not in MariaDB), `U&"…"`, `` `…` ``, `[…]`.
    Quoted,
    /// A string literal in any of the dialect's forms, bit and hex strings included. Parts that PostgreSQL joins across
    /// a line end are one token.
    Text,
    /// PostgreSQL's `$tag$ … $tag$`.
    Dollar,
    /// A number.
    Number,
    /// `$n`, the one form of a parameter.
    Param,
    /// A parameter in the DBMS's own form (`?`, `?1`, `:a`, `@a`, `$a`), which Kluster does not take.
    Placeholder,
    /// One character of an operator or of punctuation; only `::` has two.
    Symbol,
}

/// One token: its kind and its bytes `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: u32,
    /// The byte after its last.
    pub end: u32,
}

impl Token {
    /// The token's own text.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> &'a str {
        &text[self.start as usize..self.end as usize]
    }

    /// Whether the DBMS passes over it.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        matches!(self.kind, Kind::Space | Kind::Comment)
    }
}
