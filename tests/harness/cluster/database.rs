//! A database beside one node, and what is in it, read by its own tool and not by Kluster.

use kluster_test_servers::{shared_mariadb, shared_postgres};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The kinds of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    MariaDb,
    /// SQLite.
    Sqlite,
}

impl Kind {
    /// Every kind.
    pub const EACH: [Self; 3] = [Self::Postgres, Self::MariaDb, Self::Sqlite];
}

/// An empty database of its own.
#[derive(Debug, Clone)]
pub enum Database {
    /// Of this name on the process's PostgreSQL.
    Postgres(String),
    /// Of this name on the process's MariaDB.
    MariaDb(String),
    /// This file, in a directory that lives as long as it is used.
    Sqlite(PathBuf, Arc<tempfile::TempDir>),
}

impl Database {
    /// Creates one.
    pub async fn create(kind: Kind) -> Self {
        match kind {
            Kind::Postgres => Self::Postgres(shared_postgres().await.new_database("node").await.expect("a database can be created")),
            Kind::MariaDb => Self::MariaDb(shared_mariadb().await.new_database("node").await.expect("a database can be created")),
            Kind::Sqlite => {
                let directory = tempfile::tempdir().expect("a directory can be created");
                Self::Sqlite(directory.path().join("node.db"), Arc::new(directory))
            }
        }
    }

    /// What `--dbms` is given.
    pub async fn url(&self) -> String {
        match self {
            Self::Postgres(name) => shared_postgres().await.url(name),
            Self::MariaDb(name) => shared_mariadb().await.url(name),
            Self::Sqlite(file, _) => format!("sqlite:{}", file.display()),
        }
    }

    /// Runs SQL past Kluster: each row one line, columns separated by `|` or tabs.
    pub async fn sql(&self, text: &str) -> String {
        match self {
            Self::Postgres(name) => shared_postgres().await.sql(name, text).await.expect("psql runs"),
            Self::MariaDb(name) => shared_mariadb().await.sql(name, text).await.expect("mariadb runs"),
            Self::Sqlite(file, _) => sqlite(file, text),
        }
    }

    /// The names of the user's tables.
    pub async fn table_names(&self) -> Vec<String> {
        let sql = match self {
            Self::Postgres(_) => "select tablename from pg_tables where schemaname = 'public' order by 1".to_owned(),
            Self::MariaDb(name) => format!("select table_name from information_schema.tables where table_schema = '{name}' order by 1"),
            Self::Sqlite(..) => "select name from sqlite_schema where type = 'table' and name not like 'kluster\\_%' escape '\\' and name not like 'sqlite%' order by 1".to_owned(),
        };
        self.sql(&sql).await.lines().map(str::to_owned).collect()
    }

    /// Every table, its rows as sorted lines.
    pub async fn tables(&self) -> BTreeMap<String, Vec<String>> {
        let quote = if matches!(self, Self::MariaDb(_)) { '`' } else { '"' };
        let mut tables = BTreeMap::new();
        for name in self.table_names().await {
            let mut rows: Vec<String> = self.sql(&format!("select * from {quote}{name}{quote}")).await.lines().map(str::to_owned).collect();
            rows.sort();
            tables.insert(name, rows);
        }
        tables
    }
}

fn sqlite(file: &PathBuf, text: &str) -> String {
    let database = rusqlite::Connection::open(file).expect("the file can be opened");
    let mut statement = database.prepare(text).expect("the statement can be prepared");
    let width = statement.column_count();
    let mut rows = statement.query([]).expect("the statement runs");
    let mut lines = String::new();
    while let Some(row) = rows.next().expect("a row can be read") {
        let cells = (0..width).map(|n| match row.get_ref(n).expect("a column of the row") {
            rusqlite::types::ValueRef::Null => "NULL".to_owned(),
            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
            rusqlite::types::ValueRef::Real(number) => number.to_string(),
            rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            rusqlite::types::ValueRef::Blob(bytes) => format!("{bytes:02x?}"),
        });
        lines.push_str(&cells.collect::<Vec<_>>().join("|"));
        lines.push('\n');
    }
    lines
}
