//! A scripted session: it has logged in, has sent a whole transaction at once, and the server has read none of it yet.
//!
//! On PostgreSQL the server's process of that session is stopped (SIGSTOP). MariaDB's sessions are threads of one process, so a relay holds the
//! bytes back.

use super::{unread_sessions, until};
use kluster_node::dbms::postgres::address::Address;
use kluster_node::dbms::postgres::connection::Connection;
use kluster_node::dbms::postgres::error::Error;
use kluster_test_servers::{MariaDbServer, PostgresServer, ServerError};
use kluster_tests::cluster::{Database, Relay, signal};
use tokio::task::JoinHandle;

/// What the killed process would have given with its claims.
const SECRET: &str = "of the killed process";

/// Why a claim raised.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// The secret is no longer this process's.
    AnotherProcess,
    /// The applied offset is not the predecessor.
    AppliedMovedOn,
}

/// See the module.
pub struct Scripted {
    held: Held,
    /// What the server says of it in the end.
    said: JoinHandle<Refused>,
}

enum Held {
    /// The server's process of this id is stopped.
    Stopped(u32),
    /// The relay has its bytes.
    Relayed(Relay),
}

impl Scripted {
    /// The server gets to read it.
    pub async fn goes_on(self) -> Refused {
        match &self.held {
            Held::Stopped(process) => signal(*process, "CONT"),
            Held::Relayed(relay) => relay.lets_go(),
        }
        self.said.await.expect("the orphan's transaction was refused")
    }
}

/// Sends BEGIN, the claim of `predecessor`, `work` and COMMIT.
pub async fn send(database: &Database, predecessor: u64, work: &str) -> Scripted {
    match database {
        Database::Postgres(server, _) => {
            let claim = format!("select kluster_state.claim('{SECRET}', {predecessor})");
            stopped(server, database, format!("begin; {claim}; {work}; commit")).await
        }
        Database::MariaDb(server, name) => {
            let claim = format!("call `kluster_state_{name}`.claim('{SECRET}', {predecessor}, null)");
            relayed(server, name, format!("start transaction; {claim}; {work}; commit")).await
        }
        Database::Sqlite(..) => panic!("SQLite has no sessions"),
    }
}

/// Puts the killed process's secret back.
pub async fn set_secret(database: &Database) {
    let sql = match database {
        Database::Postgres(..) => {
            format!("update kluster_state.secret set hash = sha256(convert_to('{SECRET}', 'UTF8'))")
        }
        Database::MariaDb(_, name) => {
            format!("update `kluster_state_{name}`.process set secret_hash = sha2('{SECRET}', 256)")
        }
        Database::Sqlite(..) => panic!("SQLite has no secret"),
    };
    database.sql(&sql).await;
}

async fn stopped(server: &PostgresServer, database: &Database, transaction: String) -> Scripted {
    let address = Address::parse(&database.url()).expect("an address");
    let mut connection = Connection::connect(&address).await.expect("PostgreSQL answers");
    let process = u32::try_from(connection.process_id()).expect("a process id");
    let port = server.port();
    let waiting = unread_sessions(port);
    signal(process, "STOP");
    let said = tokio::spawn(async move {
        match connection.execute_script(&transaction).await {
            Err(Error::Server(refused)) if refused.sqlstate == "KL002" => Refused::AnotherProcess,
            Err(Error::Server(refused)) if refused.sqlstate == "KL001" => Refused::AppliedMovedOn,
            other => panic!("the orphan's claim did not raise: {other:?}"),
        }
    });
    until("the transaction has arrived", || unread_sessions(port) > waiting).await;
    Scripted { held: Held::Stopped(process), said }
}

async fn relayed(server: &'static MariaDbServer, database: &str, transaction: String) -> Scripted {
    let relay = Relay::holding_back(server.port(), "start transaction").await;
    // With another delimiter the client sends all of it as one text.
    let text = format!("delimiter //\n{transaction}//\n");
    let (port, database) = (relay.port(), database.to_owned());
    let said = tokio::spawn(async move {
        match server.sql_through(port, &database, &text).await {
            Err(ServerError::Command { output, .. }) if output.contains("ERROR 30002") => Refused::AnotherProcess,
            Err(ServerError::Command { output, .. }) if output.contains("ERROR 30001") => Refused::AppliedMovedOn,
            other => panic!("the orphan's claim did not raise: {other:?}"),
        }
    });
    relay.holds().await;
    Scripted { held: Held::Relayed(relay), said }
}
