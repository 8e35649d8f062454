//! Kluster's own tables and procedures, in a database of their own on which the accounts for user SQL have no right but EXECUTE on the
//! procedures they need. Made by the owner at each start.
//!
//! Neighbours: [`super::owner`] runs [`making`]; the batch, the intent and the reads call the procedures.
//!
//! Invariants
//! 1. Each procedure runs with the owner's rights (SQL SECURITY DEFINER) and takes the process's secret first; the database holds only
//!    its hash, so that user SQL that calls a procedure changes nothing and learns nothing.
//! 2. No procedure holds DDL or a statement of transactions: they live and die with the caller's transaction.
//! 3. `claim` locks the one state row and *raises* unless the applied offset is the predecessor given.

use super::binlog;
use super::errors::{CLAIM_RAISED, NOT_OURS};
use super::names::{Names, identifier};
use super::settings::COLLATION;
use sha2::{Digest, Sha256};

/// The version of these tables, kept beside them for later migrations.
pub const VERSION: u32 = 1;

/// The procedures that the account for user SQL may execute.
pub const APP_PROCEDURES: &[&str] = &["claim", "finish", "intend", "enforce_engine", "log_rows"];
/// The procedures that the account for reads may execute.
pub const READ_PROCEDURES: &[&str] = &["applied"];

/// How many procedures there are.
pub const PROCEDURES: i64 = (APP_PROCEDURES.len() + READ_PROCEDURES.len()) as i64;

/// How the state database is made.
#[derive(Debug)]
pub struct Making {
    /// The statements, in order; each may be run again.
    pub statements: Vec<String>,
    /// What the table `version` holds once they have run. They need not run again then, and should not: making a procedure anew waits
    /// for every transaction that called it.
    pub made: String,
}

/// How the state database of `names` is made.
pub fn making(names: &Names) -> Making {
    let database = identifier(&names.state);
    let mut statements =
        vec![format!("create database if not exists {database} character set utf8mb4 collate {COLLATION}")];
    statements.extend(TABLES.iter().map(|(name, columns)| {
        format!(
            "create table if not exists {} ({columns}) engine = InnoDB default charset utf8mb4 collate utf8mb4_bin",
            names.own(name)
        )
    }));
    // State databases of before have it as a TEXT, and nothing of what was returned.
    let alter = "modify followed longtext, add column if not exists returned longtext";
    statements.push(format!("alter table {} {alter}", names.own("batch")));
    statements.push(format!("insert ignore into {} values (1, null, '{{}}')", names.own("state")));
    statements.push(format!("insert ignore into {} values (1, 0, null, null)", names.own("batch")));
    statements.extend(procedures().into_iter().map(|(name, params, body)| {
        let name = names.own(name);
        format!("create or replace procedure {name} ({params}) sql security definer modifies sql data begin {body} end")
            .replace("$state", &database)
    }));
    let made = hex::encode(Sha256::digest(statements.join(";")));
    statements.push(format!("replace into {} values (1, {VERSION}, '{made}')", names.own("version")));
    Making { statements, made }
}

const TABLES: &[(&str, &str)] = &[
    ("version", "id tinyint primary key check (id = 1), version int not null, made char(64) not null"),
    ("state", "id tinyint primary key check (id = 1), applied bigint unsigned, state longtext not null"),
    // Each claim writes it, so that the binary log holds what comes behind: the savepoint of the first work, too.
    (
        "batch",
        "id tinyint primary key check (id = 1), number bigint unsigned not null, followed longtext, returned longtext",
    ),
    (
        "outcomes",
        "`first` bigint unsigned primary key, `last` bigint unsigned not null, outcomes longtext not null, \
         `rows` longtext, index by_last (`last`)",
    ),
    (
        "intent",
        "id tinyint primary key check (id = 1), `offset` bigint unsigned not null, fingerprint char(64) not null",
    ),
    ("process", "id tinyint primary key check (id = 1), secret_hash char(64) not null, node_id text not null"),
];

/// Name, params and body of each procedure; `$state` stands for the state database.
fn procedures() -> Vec<(&'static str, &'static str, String)> {
    vec![
        ("claim", CLAIM_PARAMS, format!("{} {} {CLAIMED}", ours(), claim())),
        ("finish", FINISH_PARAMS, format!("{} {} {FINISH}", ours(), claim())),
        (
            "intend",
            "secret varchar(100), at_offset bigint unsigned, found char(64)",
            format!("{} insert into $state.intent values (1, at_offset, found);", ours()),
        ),
        ("applied", "secret varchar(100)", format!("{} select applied, state from $state.state where id = 1;", ours())),
        // Only the owner may set these variables, so the account of user SQL has them set for itself.
        ("enforce_engine", "", "set session enforce_storage_engine = InnoDB;".to_owned()),
        ("log_rows", "", format!("{};", binlog::SET)),
    ]
}

const CLAIM_PARAMS: &str = "secret varchar(100), predecessor bigint unsigned, now_followed longtext";
const CLAIMED: &str = "if @@global.log_bin then \
     update $state.batch set number = number + 1, followed = now_followed, returned = null where id = 1; end if;";
const FINISH_PARAMS: &str = "secret varchar(100), predecessor bigint unsigned, new_applied bigint unsigned, new_state longtext, \
     first_offset bigint unsigned, last_offset bigint unsigned, new_outcomes longtext, new_rows longtext, \
     prune_below bigint unsigned, drop_rows_below bigint unsigned, now_returned longtext";

/// Raises unless the secret is that of the process that owns the database. By SELECT … INTO, which locks nothing: the next process must
/// be able to write its own secret while a transaction of the last one lingers.
fn ours() -> String {
    format!(
        "begin declare owners int; \
         select count(*) into owners from $state.process where id = 1 and secret_hash = sha2(secret, 256); \
         if owners = 0 then signal sqlstate '45000' set mysql_errno = {NOT_OURS}, \
         message_text = 'this database belongs to another process of Kluster now'; end if; end;"
    )
}

/// Locks the state row and raises unless it is where the caller left it.
fn claim() -> String {
    format!(
        "begin declare found bigint unsigned; \
         select applied into found from $state.state where id = 1 for update; \
         if not (found <=> predecessor) then signal sqlstate '45000' set mysql_errno = {CLAIM_RAISED}, \
         message_text = 'the applied offset is not the expected predecessor'; end if; end;"
    )
}

const FINISH: &str = "update $state.state set applied = new_applied, state = new_state where id = 1; \
     if first_offset is not null then \
       insert into $state.outcomes values (first_offset, last_offset, new_outcomes, new_rows); end if; \
     if prune_below is not null then delete from $state.outcomes where `last` < prune_below; end if; \
     if drop_rows_below is not null then \
       update $state.outcomes set `rows` = null where `last` < drop_rows_below and `rows` is not null; end if; \
     delete from $state.intent where `offset` <= new_applied; \
     if now_returned is not null and @@global.log_bin then \
       update $state.batch set returned = now_returned where id = 1; end if;";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procedures_begin_with_the_secret_and_hold_no_transaction_statement() {
        assert_eq!(procedures().len() as i64, PROCEDURES);
        for (name, _, body) in procedures() {
            assert!(["enforce_engine", "log_rows"].contains(&name) || body.starts_with(&ours()), "{name}");
            for word in ["commit", "rollback", "savepoint", "create ", "alter ", "drop ", "truncate"] {
                assert!(!body.to_lowercase().replace("drop_rows", "").contains(word), "{name}: {word}");
            }
        }
    }
}
