//! What in a script is for the DBMS's own tool, or for one server, and not for a cluster.

use crate::dialect::Dialect;
use crate::head::Head;
use crate::statement::Statement;

const COMMAND: &str = "a command of the database's own tool";
const DATABASE: &str = "a cluster's database is made by kluster-admin, not by SQL";
const CHOSEN: &str = "the database is chosen by the tool that sends the script";
const CHARSET: &str = "every node speaks UTF-8";
const DUMP: &str = "a setting of the tool that made this dump";

/// Why the line with which `rest` begins, where a statement could begin, is for the tool; `None` if it begins a
/// statement. Looks no further than it must: a script may be one long line.
pub(super) fn line(dialect: Dialect, rest: &str) -> Option<&'static str> {
    let is = |word: &str| {
        let begins = rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        begins && rest[word.len()..].chars().next().is_none_or(|c| c.is_whitespace() || c == ';')
    };
    match dialect {
        Dialect::Postgres | Dialect::MariaDb if rest.starts_with('\\') => {
            Some(if is("\\c") || is("\\connect") { CHOSEN } else { COMMAND })
        }
        Dialect::MariaDb if is("delimiter") || is("source") => Some(COMMAND),
        // USE needs no `;` in MariaDB's tool; with one, more may follow on its line.
        Dialect::MariaDb
            if is("use") && !rest[..rest.find(['\n', ';']).map_or(rest.len(), |at| at + 1)].ends_with(';') =>
        {
            Some(CHOSEN)
        }
        // No statement begins with a backslash, and a prompt's own commands do, whatever the DBMS.
        Dialect::Sqlite if rest.starts_with(['.', '\\']) => Some(COMMAND),
        _ => None,
    }
}

/// The delimiter that a `DELIMITER` line sets.
pub(super) fn delimiter(dialect: Dialect, line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let command = words.next().filter(|word| dialect == Dialect::MariaDb && word.eq_ignore_ascii_case("delimiter"));
    command.and_then(|_| words.next())
}

/// Whether a command of the tool (`\g`, `\G`) begins here, in the middle of a statement. `\N` is MariaDB's NULL.
pub(super) fn interrupts(dialect: Dialect, rest: &str) -> bool {
    match dialect {
        Dialect::Postgres => rest.starts_with('\\'),
        Dialect::MariaDb => rest.starts_with('\\') && !rest.starts_with("\\N"),
        Dialect::Sqlite => false,
    }
}

/// Why a whole statement is for the tool or the server; `None` if it is to be sent.
pub(super) fn statement(dialect: Dialect, text: &str) -> Option<&'static str> {
    if dialect == Dialect::MariaDb && text.starts_with("/*!") {
        return dump_setting(text).then_some(DUMP);
    }
    // The statements meant here are short, and begin with one of few letters.
    if text.len() > 4096 || !matches!(text.as_bytes().first()?.to_ascii_lowercase(), b'c' | b'd' | b'u' | b's') {
        return None;
    }
    let statement = Statement::read_body(dialect, text).ok()?;
    let head = Head::read(&statement, 0);
    let mariadb = dialect == Dialect::MariaDb;
    let database = head.is("create database") || head.is("drop database");
    let schema = mariadb && (head.is("create schema") || head.is("drop schema"));
    match () {
        () if dialect != Dialect::Sqlite && (database || schema) => Some(DATABASE),
        () if mariadb && head.is("use") => Some(CHOSEN),
        () if dialect != Dialect::Sqlite && head.is("set names") => Some(CHARSET),
        () if dialect == Dialect::Postgres && head.is("set client_encoding") => Some(CHARSET),
        () => None,
    }
}

/// `/*!40101 SET … */` and `/*!40000 ALTER TABLE … DISABLE KEYS */`, which mysqldump puts around its data.
fn dump_setting(text: &str) -> bool {
    let Some(code) = text.strip_prefix("/*!").and_then(|code| code.strip_suffix("*/")) else {
        return false;
    };
    let code = code.trim_start_matches(|c: char| c.is_ascii_digit()).trim();
    let begins = |word: &str| code.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let ends = |words: &str| {
        code.len() > words.len()
            && code.is_char_boundary(code.len() - words.len())
            && code[code.len() - words.len()..].eq_ignore_ascii_case(words)
    };
    !code.contains("*/") && (begins("set ") || begins("alter table") && (ends("disable keys") || ends("enable keys")))
}
