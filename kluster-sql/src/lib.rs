//! What may be said.

/// The SQL of one kind of DBMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MariaDB and MySQL.
    MariaDb,
    /// SQLite.
    Sqlite,
}
