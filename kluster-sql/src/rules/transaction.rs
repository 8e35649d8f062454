//! Transactions, which belong to the node, and what does not obey them.

use super::Form::{Checked, Phrase, Statement};
use super::Scope::Everywhere;
use super::{EVERY, MARIADB, POSTGRES, Rule, SERVERS, SQLITE, row};
use crate::refusal::RefusalCode::{Copy, NotTransactional, Syntax, TransactionControl, Unsupported};

const OWNED: &str = "would take the transaction out of the node's hands";
const ONE_REQUEST: &str = "send the statements as `statements` of one request: they are one transaction";
const NO_ROLLBACK: &str = "leaves effects that no rollback takes back";

pub(super) const RULES: &[Rule] = &[
    row(Statement, EVERY, Everywhere, TransactionControl).rule(
        &["begin", "start transaction", "commit", "end", "rollback", "savepoint", "release"],
        OWNED,
        ONE_REQUEST,
    ),
    row(Statement, POSTGRES, Everywhere, TransactionControl).rule(
        &["abort", "prepare transaction", "set transaction", "set local transaction", "set session characteristics"],
        OWNED,
        ONE_REQUEST,
    ),
    row(Statement, MARIADB, Everywhere, TransactionControl).rule(
        &[
            "xa",
            "set autocommit",
            "set transaction",
            "set session transaction",
            "set global transaction",
            "set local transaction",
        ],
        OWNED,
        ONE_REQUEST,
    ),
    row(Phrase, SQLITE, Everywhere, TransactionControl).rule(
        &["or rollback", "on conflict rollback"],
        "ends the node's transaction when a constraint is violated",
        "use ABORT, the default: it undoes the statement",
    ),
    row(Checked, SQLITE, Everywhere, TransactionControl).rule(
        &["raise(rollback, …)"],
        "ends the node's transaction",
        "use RAISE(ABORT, …): it undoes the statement",
    ),
    row(Statement, MARIADB, Everywhere, NotTransactional).rule(
        &["begin not atomic", "call", "execute immediate"],
        "can hold statements that commit by themselves",
        "send the statements themselves, as `statements` of one request",
    ),
    row(Checked, MARIADB, Everywhere, NotTransactional).rule(
        &["/*! … */", "/*M! … */", "/*+ … */"],
        "is code that looks like a comment",
        "write what it holds as plain SQL, or leave it out",
    ),
    row(Checked, MARIADB, Everywhere, NotTransactional).rule(
        &["drop … a, b"],
        "drops several objects, each in a transaction of its own",
        "send one DROP for each",
    ),
    row(Statement, MARIADB, Everywhere, NotTransactional).rule(
        &["create or replace table"],
        "drops the old table before it can fail, and with it the rows",
        "send DROP TABLE and CREATE TABLE, or make the new table and RENAME it",
    ),
    row(Phrase, MARIADB, Everywhere, NotTransactional).rule(
        &["exchange partition", "convert partition", "convert table"],
        "changes two tables at once, and a crash between hides which",
        "move the rows by INSERT … SELECT and DELETE",
    ),
    row(Checked, MARIADB, Everywhere, NotTransactional).rule(
        &["engine = …"],
        "names a storage engine that does not obey rollback; only InnoDB is taken",
        "leave ENGINE out, or write ENGINE=InnoDB",
    ),
    row(Phrase, MARIADB, Everywhere, NotTransactional).rule(
        &["insert delayed", "replace delayed"],
        NO_ROLLBACK,
        "leave DELAYED out",
    ),
    row(Phrase, POSTGRES, Everywhere, NotTransactional).rule(
        &["unlogged table", "unlogged sequence", "set unlogged", "into unlogged"],
        "makes a table that a crash of one node empties",
        "make an ordinary table",
    ),
    row(Checked, MARIADB, Everywhere, Unsupported).rule(
        &["signal", "resignal"],
        "forges an error of the server's own when it names MYSQL_ERRNO, a condition, or a SQLSTATE outside 45xxx",
        "write SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = …",
    ),
    row(Checked, POSTGRES, Everywhere, Unsupported).rule(
        &["language …"],
        "names a language whose bodies are not checked; only sql and plpgsql are taken",
        "write the body in sql or plpgsql",
    ),
    row(Checked, POSTGRES, Everywhere, Syntax).rule(
        &["uescape"],
        "changes the escape character of a U& string or name, which is not followed here",
        "use the default, a backslash, or write the characters themselves",
    ),
    row(Statement, SERVERS, Everywhere, Copy).rule(
        &["copy"],
        "moves data past the log, by a file, a program or a stream that only one session has",
        "send INSERT with many rows; read with SELECT",
    ),
    row(Statement, MARIADB, Everywhere, Copy).rule(
        &["load data", "load xml"],
        "moves data past the log, by a file that only one node has",
        "send INSERT with many rows",
    ),
];
