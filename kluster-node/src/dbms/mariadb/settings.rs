//! Settings: what is set in each session so that no result depends on how a server was configured.
//!
//! Neighbours: [`super::session`] sends them, [`super::owner`] checks what only the whole server can set.
//! Invariant: the same on every node; a variable that a server version does not know is left out there, for it cannot differ.

use super::names::{Names, identifier};
use std::collections::HashSet;

/// The collation of our connections and the default of every new table. The newest that all supported versions have.
pub const COLLATION: &str = "utf8mb4_unicode_ci";

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// The owner's own statements.
    Owner,
    /// User SQL of ALL.
    App,
    /// User SQL of ONE.
    Read,
}

/// Session variables and their values.
///
/// `sql_mode` is the whole value: strict, so that what does not fit is refused; without NO_ENGINE_SUBSTITUTION, so that the enforced
/// InnoDB replaces other engines silently; without PIPES_AS_CONCAT and ANSI_QUOTES, so that `||` and `"` mean what MariaDB users expect.
const SESSION: &[(&str, &str)] = &[
    ("sql_mode", "'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER'"),
    ("old_mode", "'UTF8_IS_UTF8MB3'"),
    ("time_zone", "'+00:00'"),
    ("character_set_server", "utf8mb4"),
    ("collation_server", COLLATION),
    ("character_set_collations", "'utf8mb4=utf8mb4_unicode_ci'"),
    ("character_set_filesystem", "binary"),
    ("lc_messages", "'en_US'"),
    ("lc_time_names", "'en_US'"),
    ("autocommit", "1"),
    ("completion_type", "'NO_CHAIN'"),
    ("foreign_key_checks", "1"),
    ("unique_checks", "1"),
    ("check_constraint_checks", "1"),
    ("innodb_strict_mode", "1"),
    ("innodb_table_locks", "1"),
    ("innodb_snapshot_isolation", "0"),
    ("default_storage_engine", "InnoDB"),
    ("auto_increment_increment", "1"),
    ("auto_increment_offset", "1"),
    ("explicit_defaults_for_timestamp", "1"),
    ("group_concat_max_len", "1048576"),
    ("max_sort_length", "1024"),
    // The most there is: a limit would cut the answer with no more than a warning, and INSERT … SELECT would store the cut.
    ("max_recursive_iterations", "4294967295"),
    ("max_sp_recursion_depth", "0"),
    ("div_precision_increment", "4"),
    ("default_week_format", "0"),
    ("default_regex_flags", "''"),
    ("standard_compliant_cte", "1"),
    ("sql_auto_is_null", "0"),
    ("sql_big_selects", "1"),
    ("sql_safe_updates", "0"),
    ("sql_select_limit", "18446744073709551615"),
    ("sql_if_exists", "0"),
    ("sql_quote_show_create", "1"),
    ("updatable_views_with_limit", "1"),
    ("alter_algorithm", "'DEFAULT'"),
    ("system_versioning_alter_history", "'ERROR'"),
    ("max_statement_time", "0"),
    // Small: who waits is the node's lane. The lane rolls back and tries again, see `errors`.
    ("innodb_lock_wait_timeout", "1"),
    // DDL waits for reads of ONE to end, which have a time limit of their own; behind a waiting DDL no new read overtakes.
    ("lock_wait_timeout", "60"),
    ("wait_timeout", "31536000"),
    ("idle_transaction_timeout", "0"),
    ("idle_write_transaction_timeout", "0"),
    ("idle_readonly_transaction_timeout", "0"),
    ("net_write_timeout", "600"),
    ("net_read_timeout", "600"),
];

/// What is set in a session, as statements.
#[derive(Debug, Clone)]
pub struct Settings(Vec<String>);

impl Settings {
    /// The settings of a session for `purpose` on a server that knows the `known` variables (lower case).
    pub fn of(purpose: For, known: &HashSet<String>, names: &Names) -> Self {
        let pairs: Vec<_> = SESSION
            .iter()
            .filter(|(name, _)| known.contains(*name))
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        let isolation = match purpose {
            For::Read => "repeatable read, read only",
            For::App | For::Owner => "read committed, read write",
        };
        let mut statements = vec![
            format!("set names utf8mb4 collate {COLLATION}"),
            format!("set session {}", pairs.join(", ")),
            format!("set session transaction isolation level {isolation}"),
        ];
        if purpose != For::Owner {
            statements.push(format!("use {}", identifier(&names.database)));
        }
        Self(statements)
    }

    /// None: what a session needs before it is known which variables the server has.
    pub fn none() -> Self {
        Self(vec![format!("set names utf8mb4 collate {COLLATION}")])
    }

    /// These settings and one statement more.
    pub fn and(mut self, statement: String) -> Self {
        self.0.push(statement);
        self
    }

    /// The statements, in order.
    pub fn statements(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_variables_are_left_out() {
        let names = Names::of("shop").unwrap();
        let known = HashSet::from(["time_zone".to_owned(), "sql_mode".to_owned()]);
        let settings = Settings::of(For::Read, &known, &names);
        assert_eq!(
            settings.statements()[1],
            "set session sql_mode = 'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER', \
             time_zone = '+00:00'"
        );
        assert!(settings.statements()[2].ends_with("repeatable read, read only"));
    }
}
