//! One server of each kind for all tests of a process, started when first asked for. Tests keep apart by names: of topics, of
//! databases. A test that disturbs its server starts its own.

use tokio::sync::OnceCell;

use crate::error::ServerError;
use crate::kafka::KafkaServer;
use crate::mariadb::{MariaDbOptions, MariaDbServer};
use crate::postgres::PostgresServer;

/// The Kafka of this process, or the one that `KLUSTER_TEST_BOOTSTRAP` names.
///
/// # Panics
/// When it cannot be started; ask `require!(Kafka)` first.
pub async fn shared_kafka() -> &'static KafkaServer {
    static SHARED: OnceCell<KafkaServer> = OnceCell::const_new();
    SHARED.get_or_init(async || started(KafkaServer::external_or_start().await)).await
}

/// The PostgreSQL of this process; make a database with `new_database`.
///
/// # Panics
/// When it cannot be started; ask `require!(Postgres)` first.
pub async fn shared_postgres() -> &'static PostgresServer {
    static SHARED: OnceCell<PostgresServer> = OnceCell::const_new();
    SHARED.get_or_init(async || started(PostgresServer::start().await)).await
}

/// The MariaDB of this process; make a database with `new_database`.
///
/// # Panics
/// When it cannot be started; ask `require!(MariaDb)` first.
pub async fn shared_mariadb() -> &'static MariaDbServer {
    static SHARED: OnceCell<MariaDbServer> = OnceCell::const_new();
    SHARED.get_or_init(async || started(MariaDbServer::start().await)).await
}

/// The MariaDB of this process that writes a binary log; make a database with `new_database`.
///
/// # Panics
/// When it cannot be started; ask `require!(MariaDb)` first.
pub async fn shared_mariadb_with_binary_log() -> &'static MariaDbServer {
    static SHARED: OnceCell<MariaDbServer> = OnceCell::const_new();
    SHARED.get_or_init(async || started(MariaDbServer::start_with(MariaDbOptions::with_binary_log()).await)).await
}

fn started<T>(server: Result<T, ServerError>) -> T {
    match server {
        Ok(server) => server,
        Err(error) => panic!("{error}"),
    }
}
