//! A database beside one node, and what is in it, read by its own tool and not by Kluster.

use kluster_test_servers::{
    MariaDbOptions, MariaDbServer, PostgresOptions, PostgresServer, shared_mariadb, shared_mariadb_with_binary_log,
    shared_postgres,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
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
    /// Of this name on this PostgreSQL.
    Postgres(&'static PostgresServer, String),
    /// Of this name on this MariaDB.
    MariaDb(&'static MariaDbServer, String),
    /// This file, in a directory that lives as long as it is used.
    Sqlite(PathBuf, Arc<tempfile::TempDir>),
}

impl Database {
    /// Creates one, on the server of its kind that all tests of this process share.
    pub async fn create(kind: Kind) -> Self {
        match kind {
            Kind::Postgres => Self::on_postgres(shared_postgres().await).await,
            Kind::MariaDb => Self::on_mariadb(shared_mariadb().await).await,
            Kind::Sqlite => {
                let directory = tempfile::tempdir().expect("a directory can be created");
                Self::Sqlite(directory.path().join("node.db"), Arc::new(directory))
            }
        }
    }

    /// Creates one on the PostgreSQL that all tests of this process share, of another collation than all others.
    pub async fn create_on_postgres_of_another_collation() -> Self {
        let server = shared_postgres().await;
        let other =
            "select case when datcollate = 'C' then 'C.UTF-8' else 'C' end from pg_database where datname = 'postgres'";
        let other = server.sql("postgres", other).await.expect("a collation");
        let create = format!("create database unlike template template0 lc_collate '{}'", other.trim());
        server.sql("postgres", &create).await.expect("a database can be created");
        Self::Postgres(server, "unlike".to_owned())
    }

    /// Creates one on the MariaDB with a binary log that all tests of this process share.
    pub async fn create_on_mariadb_with_binary_log() -> Self {
        Self::on_mariadb(shared_mariadb_with_binary_log().await).await
    }

    /// Creates one on a server of its own with these settings, which the test may disturb. The server lives as long as the test process.
    pub async fn create_private(kind: Kind, settings: &[(&str, &str)]) -> Self {
        Self::create_private_in(None, kind, settings).await
    }

    /// Creates one whose files, and those of its server, lie in this directory.
    pub async fn create_in(directory: &Path, kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => {
                let directory = tempfile::tempdir_in(directory).expect("a directory can be created");
                Self::Sqlite(directory.path().join("node.db"), Arc::new(directory))
            }
            kind => Self::create_private_in(Some(directory), kind, &[]).await,
        }
    }

    async fn create_private_in(directory: Option<&Path>, kind: Kind, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let directory = directory.map(Path::to_path_buf);
        match kind {
            Kind::Postgres => {
                let server =
                    PostgresServer::start_with(PostgresOptions { settings, directory, ..Default::default() }).await;
                Self::on_postgres(Box::leak(Box::new(server.expect("PostgreSQL starts")))).await
            }
            Kind::MariaDb => {
                let server =
                    MariaDbServer::start_with(MariaDbOptions { settings, directory, ..Default::default() }).await;
                Self::on_mariadb(Box::leak(Box::new(server.expect("MariaDB starts")))).await
            }
            Kind::Sqlite => panic!("SQLite has no server"),
        }
    }

    async fn on_postgres(server: &'static PostgresServer) -> Self {
        Self::Postgres(server, server.new_database("node").await.expect("a database can be created"))
    }

    async fn on_mariadb(server: &'static MariaDbServer) -> Self {
        Self::MariaDb(server, server.new_database("node").await.expect("a database can be created"))
    }

    /// What `--dbms` is given.
    pub fn url(&self) -> String {
        match self {
            Self::Postgres(server, name) => server.url(name),
            Self::MariaDb(server, name) => server.url(name),
            Self::Sqlite(file, _) => format!("sqlite:{}", file.display()),
        }
    }

    /// Kills its server without warning.
    pub async fn kill_server(&self) {
        match self {
            Self::Postgres(server, _) => server.kill9().await.expect("PostgreSQL can be killed"),
            Self::MariaDb(server, _) => server.kill9().await.expect("MariaDB can be killed"),
            Self::Sqlite(..) => panic!("SQLite has no server"),
        }
    }

    /// Ends its server as an administrator does.
    pub async fn end_server(&self) {
        match self {
            Self::Postgres(server, _) => server.end().await.expect("PostgreSQL can be ended"),
            Self::MariaDb(server, _) => server.end().await.expect("MariaDB can be ended"),
            Self::Sqlite(..) => panic!("SQLite has no server"),
        }
    }

    /// Starts its server again; it has recovered when this returns.
    pub async fn restart_server(&self) {
        match self {
            Self::Postgres(server, _) => server.restart().await.expect("PostgreSQL comes back"),
            Self::MariaDb(server, _) => server.restart().await.expect("MariaDB comes back"),
            Self::Sqlite(..) => panic!("SQLite has no server"),
        }
    }

    /// Ends every session of its node, as an administrator does; how many there were.
    pub async fn end_sessions(&self) -> usize {
        match self {
            Self::Postgres(server, name) => {
                let ended = format!(
                    "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '{name}' and backend_type = 'client backend'"
                );
                let count = server.sql("postgres", &ended).await.expect("psql runs");
                count.trim().parse().expect("a count is a number")
            }
            Self::MariaDb(server, name) => {
                let ids = format!("select id from information_schema.processlist where db = '{name}'");
                let ids = server.sql("mysql", &ids).await.expect("mariadb runs");
                for id in ids.lines() {
                    // A session that has ended meanwhile is none that can be killed.
                    let _ = server.sql("mysql", &format!("kill {id}")).await;
                }
                ids.lines().count()
            }
            Self::Sqlite(..) => panic!("SQLite has no sessions that others could end"),
        }
    }

    /// The applied offset in its state row.
    pub async fn applied(&self) -> u64 {
        self.number("applied", "state").await
    }

    /// How many batches its stored outcomes came from.
    pub async fn batches(&self) -> u64 {
        self.number("count(*)", "outcomes").await
    }

    /// What one of Kluster's own tables says.
    async fn number(&self, what: &str, table: &str) -> u64 {
        let table = match self {
            Self::Postgres(..) => format!("kluster_state.{table}"),
            Self::MariaDb(_, name) => format!("`kluster_state_{name}`.{table}"),
            Self::Sqlite(..) => format!("kluster_{table}"),
        };
        let number = self.sql(&format!("select {what} from {table}")).await;
        number.trim().parse().unwrap_or_else(|_| panic!("{table} has no {what}: {number:?}"))
    }

    /// Runs SQL past Kluster: each row one line, columns separated by `|` or tabs.
    pub async fn sql(&self, text: &str) -> String {
        match self {
            Self::Postgres(server, name) => server.sql(name, text).await.expect("psql runs"),
            Self::MariaDb(server, name) => server.sql(name, text).await.expect("mariadb runs"),
            Self::Sqlite(file, _) => sqlite(file, text),
        }
    }

    /// The names of the user's tables.
    pub async fn table_names(&self) -> Vec<String> {
        let sql = match self {
            Self::Postgres(..) => "select tablename from pg_tables where schemaname = 'public' order by 1".to_owned(),
            Self::MariaDb(_, name) => format!("select table_name from information_schema.tables where table_schema = '{name}' order by 1"),
            Self::Sqlite(..) => "select name from sqlite_schema where type = 'table' and name not like 'kluster\\_%' escape '\\' and name not like 'sqlite%' order by 1".to_owned(),
        };
        self.sql(&sql).await.lines().map(str::to_owned).collect()
    }

    /// Every table, its rows as sorted lines.
    pub async fn tables(&self) -> BTreeMap<String, Vec<String>> {
        let quote = if matches!(self, Self::MariaDb(..)) { '`' } else { '"' };
        let mut tables = BTreeMap::new();
        for name in self.table_names().await {
            let mut rows: Vec<String> =
                self.sql(&format!("select * from {quote}{name}{quote}")).await.lines().map(str::to_owned).collect();
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
