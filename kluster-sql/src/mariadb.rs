//! What only MariaDB has: variables, executable comments, storage engines, SIGNAL, and DDL that commits by itself.

use crate::head::Head;
use crate::refusal::Refusal;
use crate::rules::Scope;
use crate::scan::{Scan, refuse_checked};
use crate::statement::Statement;
use crate::token::Kind;

pub(crate) fn check_token(scan: &Scan<'_, '_>, at: usize) -> Result<(), Refusal> {
    let statement = scan.statement;
    match statement.kind(at) {
        Some(Kind::ExecutableComment) => Err(refuse_checked(statement, at, "/*! … */", "this comment")),
        Some(Kind::Symbol) if statement.is_symbol(at, "@") => check_variable(scan, at),
        _ => Ok(()),
    }
}

/// `@name` is a variable of the session, `@@name` a setting.
fn check_variable(scan: &Scan<'_, '_>, at: usize) -> Result<(), Refusal> {
    let statement = scan.statement;
    match () {
        // The second of `@@`.
        () if statement.follows_symbol(at, "@") => Ok(()),
        () if !statement.is_symbol(at + 1, "@") => Err(refuse_checked(statement, at, "@name", "a variable (@…)")),
        () if scan.using.meets(Scope::Writes) => Err(refuse_checked(statement, at, "@@name", "a setting (@@…)")),
        () => Ok(()),
    }
}

pub(crate) fn check_word(scan: &Scan<'_, '_>, at: usize, word: &str) -> Result<(), Refusal> {
    let statement = scan.statement;
    match word {
        "nowait" if crate::postgres::is_lock_option(statement, at) => {
            Err(refuse_checked(statement, at, "nowait", "NOWAIT"))
        }
        "information_schema" if scan.using.meets(Scope::Writes) && statement.is_symbol(at + 1, ".") => {
            Err(refuse_checked(statement, at, "information_schema", word))
        }
        "sequence" if defines(scan) && statement.is_symbol(at + 1, "=") => {
            Err(refuse_checked(statement, at, "sequence =", "SEQUENCE"))
        }
        "definer" if defines(scan) && statement.is_symbol(at + 1, "=") => {
            Err(refuse_checked(statement, at, "definer =", "DEFINER"))
        }
        "wait" if statement.kind(at + 1) == Some(Kind::Number) && !statement.follows_symbol(at, ".") => {
            Err(refuse_checked(statement, at, "wait n", "WAIT"))
        }
        "signal" | "resignal" if scan.begins_statement(at) && forges(statement, at) => {
            Err(refuse_checked(statement, at, "signal", &word.to_ascii_uppercase()))
        }
        "set" if scan.body && scan.begins_statement(at) && changes_setting(statement, at + 1) => {
            Err(refuse_checked(statement, at, "set … (in a body)", "SET"))
        }
        _ => Ok(()),
    }
}

fn defines(scan: &Scan<'_, '_>) -> bool {
    ["create", "alter"].contains(&scan.head.first().as_str())
}

/// Refuses a table's option ENGINE with a value other than InnoDB.
pub(crate) fn check_engine(statement: &Statement<'_>, head: &Head<'_>) -> Result<(), Refusal> {
    if !head.has("table") && !head.has("tables") {
        return Ok(());
    }
    let mut depth = 0_usize;
    for at in 0..statement.len() {
        if statement.is_symbol(at, "(") {
            depth += 1;
        } else if statement.is_symbol(at, ")") {
            depth = depth.saturating_sub(1);
        } else if statement.is(at, "engine") && foreign_engine(statement, at, depth == 0) {
            return Err(refuse_checked(statement, at, "engine = …", "ENGINE"));
        }
    }
    Ok(())
}

fn foreign_engine(statement: &Statement<'_>, at: usize, outermost: bool) -> bool {
    const COLUMN_BEFORE: &[&str] =
        &["add", "column", "drop", "change", "modify", "by", "to", "after", "key", "index", "exists"];
    let assigned = statement.is_symbol(at + 1, "=");
    // The option of a partition stands in parentheses, behind those of its values or behind MAXVALUE.
    let option = outermost || assigned && (statement.follows_symbol(at, ")") || statement.follows(at, &["maxvalue"]));
    if !option || statement.follows_symbol(at, ".") || !assigned && statement.follows(at, COLUMN_BEFORE) {
        return false;
    }
    let value = at + 1 + usize::from(assigned);
    let engine = statement.name(value).or_else(|| statement.value(value));
    engine.is_some_and(|engine| !engine.eq_ignore_ascii_case("innodb"))
}

/// Whether the SIGNAL or RESIGNAL at `at` can look like an error of the server's own.
fn forges(statement: &Statement<'_>, at: usize) -> bool {
    // SQLSTATE VALUE '…' SET and each of the twelve items once are fewer tokens than these.
    let last = statement.len().min(at + 64);
    let end = (at..last).find(|at| statement.is_symbol(*at, ";")).unwrap_or(last);
    if (at..end).any(|at| statement.is(at, "mysql_errno")) {
        return true;
    }
    if statement.is(at + 1, "sqlstate") {
        let state = at + 2 + usize::from(statement.is(at + 2, "value"));
        return !statement.value(state).is_some_and(|state| state.starts_with("45"));
    }
    // RESIGNAL alone repeats the error it handles; SIGNAL of a named condition may be any.
    !(statement.is(at, "resignal") && (at + 1 == end || statement.is(at + 1, "set")))
}

/// What SET may not set in a body: names of settings, and words by which settings are set.
const SETTINGS: &[&str] = &[
    "global",
    "session",
    "local",
    "persist",
    "password",
    "statement",
    "transaction",
    "names",
    "character",
    "charset",
    "role",
    "default",
    "autocommit",
    "sql_mode",
    "timestamp",
    "insert_id",
    "last_insert_id",
    "rand_seed1",
    "rand_seed2",
    "time_zone",
    "foreign_key_checks",
    "unique_checks",
    "check_constraint_checks",
    "sql_log_bin",
    "sql_safe_updates",
    "sql_select_limit",
    "tx_isolation",
    "tx_read_only",
    "max_statement_time",
    "lock_wait_timeout",
    "innodb_lock_wait_timeout",
    "collation_connection",
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "group_concat_max_len",
    "auto_increment_increment",
    "auto_increment_offset",
    "div_precision_increment",
    "old_mode",
    "optimizer_switch",
    "pseudo_thread_id",
    "system_versioning_alter_history",
];

/// Whether SET in a body, its first target at `at`, sets something that outlives the body.
fn changes_setting(statement: &Statement<'_>, at: usize) -> bool {
    let ends = |at: &usize| statement.is_symbol(*at, ";") || statement.is(*at, "set");
    let end = (at..statement.len()).find(ends).unwrap_or(statement.len());
    (at..end).any(|target| {
        (target == at || statement.follows_symbol(target, ","))
            && statement.is_any(target, SETTINGS)
            && !statement.is_symbol(target + 1, ".")
    })
}

/// Whether the DROP or RENAME with this head names several objects at once.
pub(crate) fn check_several(statement: &Statement<'_>, head: &Head<'_>) -> Result<(), Refusal> {
    let drops = head.is("drop table") || head.is("drop tables") || head.is("drop view") || head.is("drop sequence");
    let comma = statement.outermost(0).find(|at| statement.is_symbol(*at, ","));
    match comma.filter(|_| drops) {
        Some(comma) => Err(refuse_checked(statement, comma, "drop … a, b", "DROP of a list")),
        None => Ok(()),
    }
}
