//! Names of what Kluster keeps on a MariaDB server beside the user's database, and how they are quoted.
//!
//! Neighbours: everything in this adapter that writes SQL. Invariants: names depend on the user's database alone, so that the databases
//! of several nodes can share one server; no two of them meet.

use sha2::{Digest, Sha256};

/// A database name has at most this many characters in MariaDB.
const MAX_NAME: usize = 64;

/// Names for one user database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The user's database.
    pub database: String,
    /// Kluster's own database.
    pub state: String,
    /// The account for user SQL.
    pub app: String,
    /// The account for reads of ONE.
    pub read: String,
    /// The session lock that one process holds.
    pub lock: String,
}

impl Names {
    /// The names for `database`; `Err` says why it cannot be one of ours.
    pub fn of(database: &str) -> Result<Self, String> {
        // Only these characters: a name is spelled alike in SQL, in InnoDB's dictionary and in patterns of privileges, but for `_`, `$` and `-`.
        let plain = |c: char| c.is_ascii_alphanumeric() || "_$-".contains(c);
        if database.is_empty() || database.len() > MAX_NAME || !database.chars().all(plain) {
            return Err(format!(
                "{database:?} cannot be used as a database name here; name one in the address, of up to {MAX_NAME} letters, digits, _, $ or -"
            ));
        }
        if ["mysql", "sys", "information_schema", "performance_schema"].contains(&database.to_lowercase().as_str()) {
            return Err(format!("{database:?} is the server's own; name a database of the user in the address"));
        }
        if database.to_lowercase().starts_with("kluster_state_") {
            return Err(format!("{database:?} is where Kluster keeps its own state; name the user's database"));
        }
        Ok(Self {
            database: database.to_owned(),
            state: fitting("kluster_state_", database, MAX_NAME),
            app: fitting("kluster_app_", database, 80),
            read: fitting("kluster_read_", database, 80),
            lock: format!("kluster.{}", hash(database)),
        })
    }

    /// The name of one of Kluster's own tables or procedures, qualified and quoted.
    pub fn own(&self, name: &str) -> String {
        format!("{}.{}", identifier(&self.state), identifier(name))
    }

    /// A database as it stands before `.*` in GRANT, where `_` would match any character.
    pub fn pattern(database: &str) -> String {
        identifier(&database.replace('_', "\\_"))
    }

    /// The user's database as InnoDB's dictionary spells it: the character set `filename`.
    pub fn in_dictionary(&self) -> String {
        let spelled = |c: char| match c {
            c if c.is_ascii_alphanumeric() || c == '_' => c.to_string(),
            c => format!("@{:04x}", u32::from(c)),
        };
        self.database.chars().map(spelled).collect()
    }
}

fn fitting(prefix: &str, database: &str, max: usize) -> String {
    match prefix.len() + database.len() {
        length if length <= max => format!("{prefix}{database}"),
        _ => format!("{prefix}{}", hash(database)),
    }
}

fn hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}

/// A name in backticks.
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Text as a string literal, for our own statements that take no parameters.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// An account as `'user'@'host'`.
pub fn account(user: &str, host: &str) -> String {
    format!("{}@{}", literal(user), literal(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_one_database_and_fit_the_server() {
        let names = Names::of("shop-1").unwrap();
        assert_eq!(names.state, "kluster_state_shop-1");
        assert_eq!(names.own("claim"), "`kluster_state_shop-1`.`claim`");
        assert_eq!(names.in_dictionary(), "shop@002d1");
        assert_eq!(Names::pattern("a_b"), "`a\\_b`");
        let long = Names::of(&"x".repeat(64)).unwrap();
        assert!(long.state.len() <= 64 && long.app.len() <= 80 && long.lock.len() <= 64);
        assert_ne!(long.state, Names::of(&"x".repeat(63)).unwrap().state);
    }

    #[test]
    fn names_that_could_be_misread_are_refused() {
        for database in ["", "mysql", "a`b", "a b", "kluster_state_a", "ä", "a%"] {
            assert!(Names::of(database).is_err(), "{database}");
        }
    }

    #[test]
    fn quotes() {
        assert_eq!(identifier("a`b"), "`a``b`");
        assert_eq!(literal("a'b\\"), "'a''b\\\\'");
    }
}
