//! Goes through the tokens of a statement once and meets every name, literal and variable with the rules.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::head::{self, Head};
use crate::limits::MAX_PARAMS;
use crate::refusal::{Refusal, RefusalCode};
use crate::rules::{Form, Index, Rule, Scope};
use crate::statement::Statement;
use crate::token::Kind;
use crate::{mariadb, postgres, sqlite};

/// What a text is sent for; decides which rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A read on ONE, answered by one node.
    One,
    /// A read that every node answers.
    Read,
    /// Anything else in ALL.
    Write,
}

impl Use {
    pub(crate) fn meets(self, scope: Scope) -> bool {
        match scope {
            Scope::Everywhere => true,
            Scope::Ordered => self != Use::One,
            Scope::Writes => self == Use::Write,
        }
    }
}

/// One pass over a statement, or over the body of one.
#[derive(Debug)]
pub(crate) struct Scan<'s, 'a> {
    pub(crate) statement: &'s Statement<'a>,
    pub(crate) using: Use,
    /// Whether statements may begin in the middle (bodies of routines and triggers).
    pub(crate) body: bool,
    /// The first words of the whole.
    pub(crate) head: &'s Head<'a>,
}

impl Scan<'_, '_> {
    /// Meets every token with the rules; gives the number of the highest parameter.
    pub(crate) fn run(&self) -> Result<u32, Refusal> {
        let (statement, index) = (self.statement, Index::of(self.statement.dialect));
        let mut highest = 0;
        for at in 0..statement.len() {
            match statement.kind(at) {
                Some(Kind::Word | Kind::Quoted) => {
                    self.name(index, at)?;
                    if self.body && self.begins_statement(at) {
                        head::check(statement, at, true)?;
                    }
                }
                Some(Kind::Param) => highest = highest.max(parameter(statement, at)?),
                Some(Kind::Placeholder) => return Err(foreign_parameter(statement, at)),
                Some(Kind::Number | Kind::Space | Kind::Comment) | None => {}
                Some(Kind::Symbol | Kind::Text | Kind::Dollar | Kind::ExecutableComment) => self.particular(at)?,
            }
        }
        Ok(highest)
    }

    /// What only one dialect has.
    fn particular(&self, at: usize) -> Result<(), Refusal> {
        match self.statement.dialect {
            Dialect::Postgres => postgres::check_token(self, at),
            Dialect::MariaDb => mariadb::check_token(self, at),
            Dialect::Sqlite => sqlite::check_token(self, at),
        }
    }

    fn name(&self, index: &Index, at: usize) -> Result<(), Refusal> {
        let Some(name) = self.statement.name(at) else {
            return Ok(());
        };
        let lower = lower(&name);
        for entry in index.anywhere(&lower) {
            if self.using.meets(entry.rule.scope) && self.counts(entry.rule.form, entry.name, at) {
                let shown = shown(entry.rule.form, entry.name, &lower);
                return Err(refuse_by(self.statement, at, entry.rule, &shown));
            }
        }
        match self.statement.dialect {
            Dialect::Postgres => postgres::check_word(self, at, &lower),
            Dialect::MariaDb => mariadb::check_word(self, at, &lower),
            Dialect::Sqlite => sqlite::check_word(self, at, &lower),
        }
    }

    /// Whether the name at `at` stands as the rule's form wants it.
    fn counts(&self, form: Form, name: &str, at: usize) -> bool {
        let statement = self.statement;
        let word = statement.kind(at) == Some(Kind::Word);
        let bare = || word && !statement.follows_symbol(at, ".") && !statement.follows(at, &["as"]);
        match form {
            Form::Call => self.is_call(at),
            Form::EmptyCall => self.is_call(at) && statement.is_symbol(at + 2, ")"),
            Form::SingleCall => self.is_call(at) && single(statement, at + 1),
            Form::PresentCall => self.is_call(at) && sqlite::means_now(statement, at),
            Form::Keyword => bare(),
            Form::Name => !statement.follows(at, &["as"]),
            Form::Qualifier => {
                statement.is_symbol(at + 1, ".")
                    || statement.follows(at, &["schema"])
                    || self.head.is("create schema") && statement.follows(at, &["exists"])
            }
            Form::Type => self.is_type(at),
            Form::Phrase => word && !statement.follows_symbol(at, ".") && statement.is_phrase(at, name),
            Form::Statement | Form::Checked => false,
        }
    }

    /// A name before a parenthesis, unless the parenthesis holds the columns of a table or index of that name.
    pub(crate) fn is_call(&self, at: usize) -> bool {
        const BEFORE_TABLES: &[&str] = &[
            "into",
            "table",
            "view",
            "references",
            "exists",
            "key",
            "index",
            "unique",
            "fulltext",
            "spatial",
            "as",
            "with",
            "recursive",
            "ignore",
            "low_priority",
            "high_priority",
            "insert",
            "replace",
        ];
        let statement = self.statement;
        if !statement.is_symbol(at + 1, "(") {
            return self.is_bound(at);
        }
        let first = statement.qualified_from(at);
        let indexed = statement.follows(first, &["on"]) && self.head.has("index") && self.head.first() == "create";
        !(statement.follows(first, BEFORE_TABLES) || indexed && self.is_first_on(first - 1))
    }

    /// A function named as a part of an operator, aggregate or type, by which it can be called later.
    fn is_bound(&self, at: usize) -> bool {
        let defines = || ["create operator", "create aggregate", "create type"].iter().any(|head| self.head.is(head));
        let first = self.statement.qualified_from(at);
        self.statement.follows_symbol(first, "=") && self.statement.dialect == Dialect::Postgres && defines()
    }

    /// Whether the ON at `on` is the statement's first: the one that names an index's table.
    fn is_first_on(&self, on: usize) -> bool {
        // CREATE OR REPLACE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a.b.c USING btree is fewer tokens than these.
        on < 20 && !(0..on).any(|at| self.statement.is(at, "on"))
    }

    /// The shape of a column's definition: `( name type`, `, name type`, `ADD [COLUMN [IF NOT EXISTS]] name type`.
    fn is_type(&self, at: usize) -> bool {
        const NO_COLUMN: &[&str] =
            &["column", "add", "constraint", "unique", "key", "index", "like", "foreign", "primary"];
        let statement = self.statement;
        let Some(column) = at.checked_sub(1) else { return false };
        let named = matches!(statement.kind(column), Some(Kind::Word | Kind::Quoted));
        let defines = self.body || self.head.has("table") || self.head.has("schema");
        let begins = statement.follows_symbol(column, "(")
            || statement.follows_symbol(column, ",")
            || statement.follows(column, &["add", "column", "exists", "modify"])
            || column > 0 && statement.follows(column - 1, &["change"]);
        named && defines && begins && !statement.is_any(column, NO_COLUMN)
    }

    /// Whether a statement of a body begins at `at`.
    pub(crate) fn begins_statement(&self, at: usize) -> bool {
        const BEFORE: &[&str] = &["begin", "then", "else", "do", "loop", "atomic", "repeat", "row"];
        let statement = self.statement;
        if self.head.is("create schema") {
            return at > 0 && statement.is_any(at, &["create", "grant"]);
        }
        // An assignment to a variable of that name.
        if [":", "=", ".", "["].iter().any(|symbol| statement.is_symbol(at + 1, symbol)) {
            return false;
        }
        at == 0
            || statement.follows_symbol(at, ";")
            || statement.follows(at, BEFORE)
            || statement.follows_symbol(at, ":")
            || at >= 2 && statement.follows_symbol(at, ">") && statement.follows_symbol(at - 1, ">")
    }
}

/// Names are compared without regard to case.
fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Whether the call whose parenthesis opens at `open` has exactly one argument.
fn single(statement: &Statement<'_>, open: usize) -> bool {
    let close = statement.closing(open);
    let mut depth = 0_usize;
    for at in open..close {
        if statement.is_symbol(at, "(") || statement.is_symbol(at, "[") {
            depth += 1;
        } else if statement.is_symbol(at, ")") || statement.is_symbol(at, "]") {
            depth = depth.saturating_sub(1);
        } else if depth == 1 && statement.is_symbol(at, ",") {
            return false;
        }
    }
    close > open + 1
}

fn shown(form: Form, name: &str, found: &str) -> String {
    // A name of the text is repeated only as far as a name can reasonably go.
    let found: String = found.chars().take(63).collect();
    match form {
        Form::Call | Form::EmptyCall | Form::SingleCall | Form::PresentCall => format!("{found}()"),
        Form::Phrase => name.to_ascii_uppercase(),
        Form::Keyword | Form::Type => found.to_ascii_uppercase(),
        _ => found,
    }
}

/// The refusal a rule speaks about the token at `at`.
pub(crate) fn refuse_by(statement: &Statement<'_>, at: usize, rule: &Rule, shown: &str) -> Refusal {
    statement.refuse(at, rule.code, format!("{shown} {}", rule.reason), rule.instead)
}

/// The refusal of the `Checked` row that names `name` for this dialect.
pub(crate) fn refuse_checked(statement: &Statement<'_>, at: usize, name: &str, shown: &str) -> Refusal {
    let row = crate::rules::rules().find(|rule| {
        rule.form == Form::Checked && rule.dialects.contains(&statement.dialect) && rule.names.contains(&name)
    });
    debug_assert!(row.is_some(), "no row for {name}");
    match row {
        Some(rule) => refuse_by(statement, at, rule, shown),
        None => statement.refuse(at, RefusalCode::Unsupported, format!("{shown} is not taken"), "leave it out"),
    }
}

fn parameter(statement: &Statement<'_>, at: usize) -> Result<u32, Refusal> {
    match statement.raw(at)[1..].parse::<u32>() {
        Ok(number @ 1..=MAX_PARAMS) => Ok(number),
        _ => {
            let message = format!("a parameter's number is 1 to {MAX_PARAMS}");
            Err(statement.refuse(at, RefusalCode::TooLarge, message, "number the parameters from $1 on without gaps"))
        }
    }
}

fn foreign_parameter(statement: &Statement<'_>, at: usize) -> Refusal {
    let hint = "write $1, $2, … in every dialect";
    statement.refuse(at, RefusalCode::Unsupported, "this is not Kluster's form of a parameter", hint)
}
