//! Scripts: cuts them into statements, as the DBMS's own tool would, for tools that send each one by itself.
//!
//! Understood: strings, comments, dollar quotes, bodies of triggers and routines, MariaDB's `DELIMITER` lines, psql's
//! backslash commands, SQLite's dot commands, and the data lines behind PostgreSQL's `COPY … FROM stdin`.

mod tool;

use std::ops::Range;

use crate::body::Body;
use crate::dialect::Dialect;
use crate::lexer::{LexError, Lexer};
use crate::token::{Kind, Token};

/// One statement of a script, or one line for the DBMS's own tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Its text, without the comments before it and without the `;` behind it.
    pub text: &'a str,
    /// Where the text stands in the script.
    pub span: Range<usize>,
    /// The line of the script, from 1, on which it begins.
    pub line: usize,
    /// What to do with it.
    pub role: Role,
}

/// What a piece of a script is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A statement, to be sent.
    Statement,
    /// Meant for the DBMS's own tool or server, not for a cluster: to be passed over, with this reason said.
    ToolOnly(&'static str),
}

/// A script that cannot be cut further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}, begun there, does not end; close it")]
pub struct SplitError {
    /// What does not end.
    pub what: &'static str,
    /// The line of the script, from 1, on which it begins.
    pub line: usize,
}

/// Cuts a script into its pieces, lazily, in linear time. Ends after the first error.
#[must_use]
pub fn split(script: &str, dialect: Dialect) -> Split<'_> {
    // Editors put a byte order mark before the first line, and tools pass over it.
    let start = if script.starts_with('\u{feff}') { 3 } else { 0 };
    let mut lexer = Lexer::new(dialect, script);
    lexer.jump(start);
    Split { dialect, script, lexer, delimiter: ";".to_owned(), data: None, counted: 0, line: 1 }
}

/// The pieces of a script; see [`split`].
#[derive(Debug, Clone)]
pub struct Split<'a> {
    dialect: Dialect,
    script: &'a str,
    lexer: Lexer<'a>,
    /// MariaDB's `DELIMITER`.
    delimiter: String,
    /// The lines behind a COPY … FROM stdin, next to be given.
    data: Option<Range<usize>>,
    /// `line` is the line of the byte `counted`.
    counted: usize,
    line: usize,
}

/// What ended a statement.
enum End {
    /// Its `;` or delimiter: the bytes to pass over.
    Delimiter(usize),
    /// A command of the tool begins here, or the script ends.
    Open,
}

impl<'a> Iterator for Split<'a> {
    type Item = Result<Piece<'a>, SplitError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(rows) = self.data.take() {
            return Some(Ok(self.piece(rows, Role::ToolOnly("rows of a COPY, which is refused: send them as INSERT"))));
        }
        loop {
            let at = self.lexer.at();
            if at >= self.script.len() {
                return None;
            }
            // Outside MariaDB's DELIMITER, an empty statement is a lone `;`.
            if self.script[at..].starts_with(self.delimiter.as_str()) {
                self.lexer.jump(at + self.delimiter.len());
                continue;
            }
            let before = self.lexer.clone();
            match self.lexer.next()? {
                Err(error) => return Some(Err(self.error(error))),
                Ok(token) if token.is_blank() => {}
                Ok(first) => {
                    self.lexer = before;
                    return Some(self.begin(first));
                }
            }
        }
    }
}

impl<'a> Split<'a> {
    /// A piece begins at `first`, which is still to be read.
    fn begin(&mut self, first: Token) -> Result<Piece<'a>, SplitError> {
        let start = first.start as usize;
        if let Some(reason) = tool::line(self.dialect, &self.script[start..]) {
            let line = self.line_end(start);
            if let Some(delimiter) = tool::delimiter(self.dialect, &self.script[start..line]) {
                self.delimiter = delimiter.to_owned();
            }
            self.lexer.jump(line);
            return Ok(self.piece(start..line, Role::ToolOnly(reason)));
        }
        self.statement(start)
    }

    /// Reads on to the end of the statement that begins at `start`.
    fn statement(&mut self, start: usize) -> Result<Piece<'a>, SplitError> {
        let mut body = Body::new(self.dialect);
        let (mut end, mut first_words) = (start, FirstWords::default());
        let mut next = start;
        loop {
            if self.delimiter != ";" && self.script[next..].starts_with(self.delimiter.as_str()) {
                return Ok(self.finish(start..end, &End::Delimiter(next + self.delimiter.len()), &first_words));
            }
            let token = match self.lexer.next() {
                None => return Ok(self.finish(start..end, &End::Open, &first_words)),
                Some(Err(error)) => return Err(self.error(error)),
                Some(Ok(token)) => self.cut(token),
            };
            next = token.end as usize;
            if token.is_blank() {
                continue;
            }
            if self.delimiter == ";" && body.ends(&token, self.script) {
                return Ok(self.finish(start..end, &End::Delimiter(next), &first_words));
            }
            if tool::interrupts(self.dialect, &self.script[token.start as usize..]) {
                self.lexer.jump(token.start as usize);
                return Ok(self.finish(start..end, &End::Open, &first_words));
            }
            first_words.take(&token, self.script);
            end = next;
        }
    }

    /// A word that holds the delimiter (`END$$`) ends before it: MariaDB's tool looks for it before anything else.
    fn cut(&mut self, token: Token) -> Token {
        let text = token.text(self.script);
        let found =
            if self.delimiter == ";" || token.kind != Kind::Word { None } else { text.find(self.delimiter.as_str()) };
        let Some(end) = found.filter(|found| *found > 0).and_then(|found| u32::try_from(found).ok()) else {
            return token;
        };
        let token = Token { end: token.start + end, ..token };
        self.lexer.jump(token.end as usize);
        token
    }

    fn finish(&mut self, span: Range<usize>, end: &End, words: &FirstWords) -> Piece<'a> {
        if let End::Delimiter(behind) = *end {
            self.lexer.jump(behind);
        }
        let text = &self.script[span.clone()];
        if self.dialect == Dialect::Postgres && words.is_copy_from_stdin() {
            self.take_rows();
        }
        let role = tool::statement(self.dialect, text).map_or(Role::Statement, Role::ToolOnly);
        self.piece(span, role)
    }

    /// The lines behind COPY … FROM stdin, up to the line `\.`, are no SQL.
    fn take_rows(&mut self) {
        let behind = self.lexer.at();
        let next_line = (self.line_end(behind) + 1).min(self.script.len());
        let start = if self.script[behind..next_line].trim_ascii().is_empty() { next_line } else { behind };
        let mut at = start;
        while at < self.script.len() {
            let end = self.line_end(at);
            let last = self.script[at..end].trim_ascii_end() == "\\.";
            at = if last { end } else { (end + 1).min(self.script.len()) };
            if last {
                break;
            }
        }
        self.lexer.jump(at);
        self.data = (start < at).then_some(start..at);
    }

    fn piece(&mut self, span: Range<usize>, role: Role) -> Piece<'a> {
        let text = &self.script[span.clone()];
        // A blank outside ASCII is part of a name to every dialect.
        let shorter = text.trim_ascii_end().len();
        let line = self.line(span.start);
        Piece { text: &text[..shorter], span: span.start..span.start + shorter, line, role }
    }

    fn error(&mut self, error: LexError) -> SplitError {
        SplitError { what: error.what, line: self.line(error.at) }
    }

    /// The line of the byte `at`. Counts on from the last one asked for, which lies before.
    fn line(&mut self, at: usize) -> usize {
        self.line += self.script.as_bytes()[self.counted..at].iter().filter(|b| **b == b'\n').count();
        self.counted = at;
        self.line
    }

    fn line_end(&self, at: usize) -> usize {
        self.script[at..].find('\n').map_or(self.script.len(), |end| at + end)
    }
}

/// Recognises `COPY … FROM stdin`.
#[derive(Debug, Default)]
struct FirstWords {
    tokens: usize,
    copy: bool,
    from: bool,
    stdin: bool,
}

impl FirstWords {
    fn take(&mut self, token: &Token, script: &str) {
        let is = |word: &str| token.kind == Kind::Word && token.text(script).eq_ignore_ascii_case(word);
        self.tokens += 1;
        self.copy |= self.tokens == 1 && is("copy");
        self.stdin |= self.copy && self.from && is("stdin");
        self.from = is("from");
    }

    fn is_copy_from_stdin(&self) -> bool {
        self.stdin
    }
}
