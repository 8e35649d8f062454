//! The rules as data: which name, where it counts, what is said about it. `docs/sql-rules.md` is made from this table.
//!
//! A change here changes outcomes: it needs a new `RULE_SET_VERSION`.

mod clock;
mod environment;
mod identity;
mod index;
mod order;
mod session;
mod transaction;

pub(crate) use index::Index;

use crate::dialect::Dialect;
use crate::refusal::RefusalCode;

/// One row of the rule table.
#[derive(Debug)]
pub struct Rule {
    /// What is looked for, in lower case. A `*` at the end stands for any rest of the name.
    pub names: &'static [&'static str],
    /// How it must stand in the text to count.
    pub form: Form,
    /// In which dialects.
    pub dialects: &'static [Dialect],
    /// Where the text is sent for the rule to hold.
    pub scope: Scope,
    /// The refusal's code.
    pub code: RefusalCode,
    /// What it does, as the predicate of a sentence that begins with the name.
    pub reason: &'static str,
    /// What to do instead.
    pub instead: &'static str,
}

/// How a name must stand in the text to count. Never inside strings or comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A function call: the name, quoted or qualified or not, before a parenthesis.
    Call,
    /// A call without arguments.
    EmptyCall,
    /// A call with exactly one argument.
    SingleCall,
    /// A call of one of SQLite's date functions that means the present time: no time given, or `'now'`.
    PresentCall,
    /// A reserved word: without quotes, not behind a dot or AS.
    Keyword,
    /// A name wherever it stands, quoted or not, but not behind AS.
    Name,
    /// A qualifier: the name, quoted or not, before a dot, or behind the word SCHEMA.
    Qualifier,
    /// The type of a column.
    Type,
    /// These words, one after the other, without quotes.
    Phrase,
    /// The first words of a statement (also of one inside a body).
    Statement,
    /// Found by a check of its own; the row describes it.
    Checked,
}

/// Where a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// In everything, reads on ONE included.
    Everywhere,
    /// In everything sent to ALL.
    Ordered,
    /// In writes sent to ALL (all that is not class `Read`).
    Writes,
}

const POSTGRES: &[Dialect] = &[Dialect::Postgres];
const MARIADB: &[Dialect] = &[Dialect::MariaDb];
const SQLITE: &[Dialect] = &[Dialect::Sqlite];
const SERVERS: &[Dialect] = &[Dialect::Postgres, Dialect::MariaDb];
const EVERY: &[Dialect] = &Dialect::ALL;

/// All rows, in the order of the docs.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [clock::RULES, identity::RULES, transaction::RULES, session::RULES, environment::RULES, order::RULES]
        .into_iter()
        .flatten()
}

/// Reserves the words of a row: keeps the tables below short.
#[derive(Debug, Clone, Copy)]
struct Row {
    form: Form,
    dialects: &'static [Dialect],
    scope: Scope,
    code: RefusalCode,
}

impl Row {
    const fn rule(self, names: &'static [&'static str], reason: &'static str, instead: &'static str) -> Rule {
        let Row { form, dialects, scope, code } = self;
        Rule { names, form, dialects, scope, code, reason, instead }
    }
}

const fn row(form: Form, dialects: &'static [Dialect], scope: Scope, code: RefusalCode) -> Row {
    Row { form, dialects, scope, code }
}
