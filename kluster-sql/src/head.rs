//! The first words of a statement, and which statement rules they meet.

use crate::dialect::Dialect;
use crate::refusal::Refusal;
use crate::rules::{Index, Scope};
use crate::scan::refuse_by;
use crate::statement::Statement;

/// Words that may stand between CREATE, ALTER or DROP and the kind of thing that is meant.
const MODIFIERS: &[&str] = &[
    "or",
    "replace",
    "temp",
    "temporary",
    "local",
    "global",
    "unlogged",
    "unique",
    "fulltext",
    "spatial",
    "recursive",
    "constraint",
    "online",
    "offline",
    "ignore",
    "aggregate",
    "trusted",
    "procedural",
    "definer",
    "algorithm",
    "sql",
    "security",
    "invoker",
    "undefined",
    "merge",
    "temptable",
];

/// The first words of a statement; options between CREATE and the kind of thing stand before `object`.
#[derive(Debug, Clone)]
pub(crate) struct Head<'a> {
    words: Vec<&'a str>,
    object: usize,
    /// The token behind the last of the words.
    pub(crate) end: usize,
}

impl<'a> Head<'a> {
    /// The first words from the token `from` on.
    pub(crate) fn read(statement: &Statement<'a>, from: usize) -> Self {
        let mut head = Head { words: Vec::with_capacity(4), object: 1, end: from };
        let Some(first) = statement.word(from) else { return head };
        head.words.push(first);
        head.end += 1;
        let defines = ["create", "alter", "drop"].iter().any(|word| first.eq_ignore_ascii_case(word));
        // Options in parentheses: REINDEX (VERBOSE) TABLE, EXPLAIN (COSTS) SELECT.
        if statement.is_symbol(head.end, "(") && !defines {
            head.end = statement.closing(head.end) + 1;
        }
        if defines {
            head.modifiers(statement);
            head.object = head.words.len();
        }
        while head.words.len() < head.object + 3 {
            let Some(word) = statement.word(head.end) else { break };
            head.words.push(word);
            head.end += 1;
        }
        head
    }

    /// Passes over options; those of MariaDB have values (`DEFINER = a@b`, `ALGORITHM = MERGE`).
    fn modifiers(&mut self, statement: &Statement<'a>) {
        while let Some(word) = statement.word(self.end).filter(|_| statement.is_any(self.end, MODIFIERS)) {
            self.words.push(word);
            self.end += 1;
            if statement.dialect == Dialect::MariaDb && statement.is_symbol(self.end, "=") {
                self.end += 2;
                while statement.is_symbol(self.end, "@") {
                    self.end += 2;
                }
            }
        }
    }

    /// The first word in lower case; empty if the statement does not begin with a word.
    pub(crate) fn first(&self) -> String {
        self.words.first().map(|word| word.to_ascii_lowercase()).unwrap_or_default()
    }

    /// Whether the statement begins with these words, options left out of account.
    pub(crate) fn is(&self, pattern: &str) -> bool {
        let mut pattern = pattern.split(' ');
        if !self.words.first().zip(pattern.next()).is_some_and(|(word, wanted)| word.eq_ignore_ascii_case(wanted)) {
            return false;
        }
        let rest: Vec<&str> = pattern.collect();
        rest.is_empty()
            || (1..=self.object.min(self.words.len())).any(|from| {
                let found = &self.words[from..];
                found.len() >= rest.len()
                    && found.iter().zip(&rest).all(|(word, wanted)| word.eq_ignore_ascii_case(wanted))
            })
    }

    /// Whether an option, or the kind of thing, is `word`.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.words.iter().take(self.object + 1).any(|found| found.eq_ignore_ascii_case(word))
    }
}

/// Words that begin a statement rule outside bodies, and something harmless inside them.
fn harmless_in_body(dialect: Dialect, pattern: &str) -> bool {
    let words: &[&str] = match dialect {
        Dialect::Postgres => &["begin", "end", "execute", "declare", "fetch", "move", "close"],
        Dialect::MariaDb => &["begin", "end", "declare", "fetch", "close", "call", "set", "get diagnostics"],
        Dialect::Sqlite => &["begin", "end"],
    };
    words.contains(&pattern)
}

/// Refuses the statement at `from` if a statement rule names its first words.
pub(crate) fn check(statement: &Statement<'_>, from: usize, body: bool) -> Result<(), Refusal> {
    let Some(word) = statement.word(from) else {
        return Ok(());
    };
    let entries = Index::of(statement.dialect).statements(&word.to_ascii_lowercase());
    if entries.is_empty() {
        return Ok(());
    }
    let head = Head::read(statement, from);
    let harmless = |name: &str| body && harmless_in_body(statement.dialect, name);
    match entries.iter().find(|entry| !harmless(entry.name) && head.is(entry.name)) {
        Some(entry) => {
            debug_assert_eq!(entry.rule.scope, Scope::Everywhere, "statement rules hold everywhere");
            Err(refuse_by(statement, from, entry.rule, &entry.name.to_ascii_uppercase()))
        }
        None => Ok(()),
    }
}
