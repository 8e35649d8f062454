//! What lives in one session of one node and dies with its connection.

use super::Form::{Call, Checked, Name, Phrase, Statement};
use super::Scope::Everywhere;
use super::{EVERY, MARIADB, POSTGRES, Rule, SERVERS, SQLITE, row};
use crate::refusal::RefusalCode::SessionState;

const KEPT: &str = "leaves something in one session, which the next request may or may not meet";
const PLAIN: &str = "write the statement so that it needs no state of the session";
const BEFORE: &str = "reads what an earlier statement left in one session";
const RETURNING: &str = "use RETURNING, or rowsAffected of the response";
const LOCKS: &str = "locks something for one session of one node";
const NO_LOCKS: &str = "leave it out: requests are run one after the other, in the log's order";
const TEMPORARY: &str = "lives in one session only";
const ORDINARY: &str = "make an ordinary table, or use WITH";

pub(super) const RULES: &[Rule] = &[
    row(Statement, EVERY, Everywhere, SessionState).rule(&["set"], KEPT, PLAIN),
    row(Statement, SERVERS, Everywhere, SessionState).rule(&["reset", "prepare", "execute", "deallocate"], KEPT, PLAIN),
    row(Statement, POSTGRES, Everywhere, SessionState).rule(&["discard", "listen", "unlisten"], KEPT, PLAIN),
    row(Statement, POSTGRES, Everywhere, SessionState).rule(
        &["declare", "fetch", "move", "close"],
        "needs a cursor, which lives in one session only",
        "read with SELECT; large results arrive in parts",
    ),
    row(Statement, EVERY, Everywhere, SessionState).rule(&["create temp", "create temporary"], TEMPORARY, ORDINARY),
    row(Statement, MARIADB, Everywhere, SessionState).rule(&["drop temporary"], TEMPORARY, ORDINARY),
    row(Phrase, POSTGRES, Everywhere, SessionState).rule(
        &["into temp", "into temporary", "into local temp", "into local temporary"],
        TEMPORARY,
        ORDINARY,
    ),
    row(Name, POSTGRES, Everywhere, SessionState).rule(&["pg_temp", "pg_temp_*"], TEMPORARY, ORDINARY),
    row(Checked, SQLITE, Everywhere, SessionState).rule(&["temp.name", "temporary.name"], TEMPORARY, ORDINARY),
    row(Statement, POSTGRES, Everywhere, SessionState).rule(&["lock"], LOCKS, NO_LOCKS),
    row(Statement, MARIADB, Everywhere, SessionState).rule(
        &["lock table", "lock tables", "unlock tables", "unlock table", "use", "handler", "get diagnostics"],
        KEPT,
        PLAIN,
    ),
    row(Checked, MARIADB, Everywhere, SessionState).rule(
        &["@name"],
        "is a variable of one session",
        "bind the value as a parameter ($1), or use a subquery",
    ),
    row(Checked, MARIADB, Everywhere, SessionState).rule(
        &["set … (in a body)"],
        "of a setting changes one session",
        "set local variables and NEW.columns only",
    ),
    row(Call, POSTGRES, Everywhere, SessionState).rule(
        &["set_config", "set_limit", "show_limit", "isn_weak"],
        KEPT,
        PLAIN,
    ),
    row(Call, POSTGRES, Everywhere, SessionState).rule(&["lastval", "currval"], BEFORE, RETURNING),
    row(Call, MARIADB, Everywhere, SessionState).rule(
        &["last_insert_id", "row_count", "found_rows", "lastval"],
        BEFORE,
        RETURNING,
    ),
    row(Call, SQLITE, Everywhere, SessionState).rule(
        &["changes", "total_changes", "last_insert_rowid"],
        BEFORE,
        RETURNING,
    ),
    row(Call, POSTGRES, Everywhere, SessionState).rule(
        &["pg_advisory_*", "pg_try_advisory_*", "pg_export_snapshot"],
        LOCKS,
        NO_LOCKS,
    ),
    row(Call, MARIADB, Everywhere, SessionState).rule(
        &["get_lock", "release_lock", "release_all_locks", "is_free_lock", "is_used_lock"],
        LOCKS,
        NO_LOCKS,
    ),
    row(Statement, SQLITE, Everywhere, SessionState).rule(
        &["pragma"],
        "sets or reads something of one connection or file",
        "use the pragma_… functions to read; the node makes the settings",
    ),
];
