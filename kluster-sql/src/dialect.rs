//! The three languages a text can be written in.

use serde::{Deserialize, Serialize};

/// Whose SQL a text is. Decides how it is cut into tokens and which rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// PostgreSQL with `standard_conforming_strings = on`, which every node pins.
    Postgres,
    /// MariaDB without `ANSI_QUOTES` and without `NO_BACKSLASH_ESCAPES` in `sql_mode`, which every node pins.
    MariaDb,
    /// SQLite.
    Sqlite,
}

impl Dialect {
    /// All of them, in the order of the docs.
    pub const ALL: [Dialect; 3] = [Dialect::Postgres, Dialect::MariaDb, Dialect::Sqlite];

    /// The name a reader knows it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Postgres => "PostgreSQL",
            Dialect::MariaDb => "MariaDB",
            Dialect::Sqlite => "SQLite",
        }
    }
}
