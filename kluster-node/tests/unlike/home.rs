//! Homes of nodes: databases of one kind that hold the same rows and are unlike in all else that a server may be unlike in.

use kluster_node::dbms::DbmsSettings;
use kluster_sql::Dialect;
use kluster_test_servers::{MariaDbOptions, MariaDbServer, PostgresOptions, PostgresServer};

/// Settings of a PostgreSQL server that decide plans and the form of values.
const POSTGRES: [&[(&str, &str)]; 2] = [
    &[
        ("timezone", "Asia/Kolkata"),
        ("datestyle", "German"),
        ("intervalstyle", "sql_standard"),
        ("extra_float_digits", "-3"),
        ("bytea_output", "escape"),
        ("enable_hashagg", "off"),
        ("enable_hashjoin", "off"),
        ("random_page_cost", "100"),
        ("work_mem", "64kB"),
        ("default_statistics_target", "1"),
        ("autovacuum", "off"),
        ("xmlbinary", "hex"),
    ],
    &[
        ("timezone", "America/St_Johns"),
        ("enable_sort", "off"),
        ("enable_mergejoin", "off"),
        ("enable_seqscan", "off"),
        ("random_page_cost", "0.1"),
        ("from_collapse_limit", "1"),
        ("default_text_search_config", "pg_catalog.english"),
        ("array_nulls", "off"),
        ("max_stack_depth", "1MB"),
    ],
];

/// By which PostgreSQL's effects come out of its log.
const DECODED: &[(&str, &str)] = &[
    ("wal_level", "logical"),
    ("kluster.effects", "decoded"),
    ("max_replication_slots", "100"),
    ("max_wal_senders", "100"),
];

/// Settings of a MariaDB server, likewise.
const MARIADB: [&[(&str, &str)]; 2] = [
    &[
        ("default_time_zone", "'+05:30'"),
        ("lc_time_names", "de_DE"),
        ("sql_mode", "ANSI"),
        ("group_concat_max_len", "8"),
        ("div_precision_increment", "9"),
        ("optimizer_switch", "'mrr=on,materialization=off,semijoin=off'"),
        ("sort_buffer_size", "16384"),
        ("default_week_format", "3"),
    ],
    &[
        ("default_time_zone", "'-03:30'"),
        ("sql_mode", "''"),
        ("optimizer_switch", "'derived_merge=off,index_merge=off'"),
        ("tmp_memory_table_size", "16384"),
        ("eq_range_index_dive_limit", "1"),
        ("optimizer_use_condition_selectivity", "1"),
        ("max_sort_length", "64"),
    ],
];

/// Where a kind of database is served.
pub enum Server {
    /// Files.
    Sqlite,
    /// A server of its own.
    Postgres(Box<PostgresServer>),
    /// A server of its own, which writes a binary log.
    MariaDb(Box<MariaDbServer>),
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Server {
    /// Both of two unlike servers. `decoded`: PostgreSQL's effects come out of its log, and so are whole.
    pub async fn pair(dialect: Dialect, decoded: bool) -> [Self; 2] {
        let (one, other) = tokio::join!(Self::start(dialect, 0, decoded), Self::start(dialect, 1, decoded));
        [one, other]
    }

    async fn start(dialect: Dialect, which: usize, decoded: bool) -> Self {
        match dialect {
            Dialect::Sqlite => Self::Sqlite,
            Dialect::Postgres => {
                let mut options = PostgresOptions { settings: owned(POSTGRES[which]), ..Default::default() };
                if decoded {
                    options.settings.extend(owned(DECODED));
                }
                Self::Postgres(Box::new(PostgresServer::start_with(options).await.unwrap()))
            }
            Dialect::MariaDb => {
                let mut options = MariaDbOptions::with_binary_log();
                options.settings.extend(owned(MARIADB[which]));
                Self::MariaDb(Box::new(MariaDbServer::start_with(options).await.unwrap()))
            }
        }
    }

    /// Kills it without warning and starts it again. False: there is none.
    pub async fn kill(&self) -> bool {
        match self {
            Self::Sqlite => return false,
            Self::Postgres(server) => server.restart().await.unwrap(),
            Self::MariaDb(server) => server.restart().await.unwrap(),
        }
        true
    }
}

/// One database.
pub struct Home<'a> {
    server: &'a Server,
    which: usize,
    database: String,
    /// Holds the file of SQLite.
    _directory: tempfile::TempDir,
}

impl<'a> Home<'a> {
    /// An empty database.
    pub async fn new(server: &'a Server, which: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = match server {
            Server::Sqlite => directory.path().join("node.db").display().to_string(),
            Server::Postgres(server) => server.new_database("unlike").await.unwrap(),
            Server::MariaDb(server) => server.new_database("unlike").await.unwrap(),
        };
        let home = Self { server, which, database, _directory: directory };
        home.prepare().await;
        home
    }

    /// Makes the second unlike before anything is in it: other object numbers, other pages.
    async fn prepare(&self) {
        match (self.server, self.which) {
            (Server::Postgres(_), 1) => {
                let filler = "do $$ begin for i in 1..25 loop execute 'create table filler' || i || ' (a int)'; \
                              execute 'drop table filler' || i; end loop; end $$";
                self.sql(filler).await;
            }
            (Server::Sqlite, 1) => drop(self.sql("pragma page_size = 1024; pragma auto_vacuum = full; vacuum").await),
            _ => {}
        }
    }

    /// How a node reaches it.
    pub fn settings(&self) -> DbmsSettings {
        let url = match self.server {
            Server::Sqlite => format!("sqlite:{}", self.database),
            Server::Postgres(server) => server.url(&self.database),
            Server::MariaDb(server) => server.url(&self.database),
        };
        DbmsSettings { max_reads: 2, ..DbmsSettings::at(url, format!("n{}", self.which + 1)) }
    }

    /// What its operator does.
    pub async fn sql(&self, sql: &str) -> String {
        match self.server {
            Server::Sqlite => {
                let connection = rusqlite::Connection::open(&self.database).unwrap();
                connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
                connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
                String::new()
            }
            Server::Postgres(server) => server.sql(&self.database, sql).await.unwrap(),
            Server::MariaDb(server) => server.sql(&self.database, sql).await.unwrap(),
        }
    }

    /// Fills `table` with these rows, in an order of this home's own.
    pub async fn fill(&self, table: &str, rows: &[String]) {
        let mut rows = rows.to_vec();
        if self.which == 1 {
            rows.reverse();
        }
        let values = rows.join(", ");
        self.sql(&format!("delete from {table}; insert into {table} values {values}")).await;
        if self.which == 1 {
            // Where a row that changes is stored anew, some of them move.
            self.sql(&format!("update {table} set due = due where grp = 1")).await;
        }
    }

    /// What an operator or the server itself does now and then: rows move, pages are emptied, statistics change. Nobody may use the database.
    pub async fn vacuum(&self, table: &str) {
        let sql = match (self.server, self.which) {
            (Server::Sqlite, _) => "analyze; vacuum".to_owned(),
            (Server::Postgres(_), 0) => format!("vacuum analyze {table}"),
            (Server::Postgres(_), _) => format!("vacuum full {table}; analyze {table}"),
            (Server::MariaDb(_), 0) => format!("analyze table {table}"),
            (Server::MariaDb(_), _) => format!("optimize table {table}"),
        };
        self.sql(&sql).await;
    }
}
