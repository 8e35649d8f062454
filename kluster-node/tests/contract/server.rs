//! What the tests of a DBMS with a server say beside the contract: databases on the server that the tests of a process share, works that run alone,
//! and a stop at a step.

use super::contract::*;
use kluster_node::dbms::{Dbms, DbmsSettings, How, ReadError, Work};
use kluster_node::fault::Fault;
use kluster_node::step::{Step, Steps, Watch};
use kluster_test_servers::{MariaDbServer, PostgresServer, ServerError};
use serde_json::json;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A server that tests share.
pub trait Server {
    /// The address of a database for its administrator.
    fn url(&self, database: &str) -> String;
    /// Makes an empty database.
    fn create_database(&self, database: &str) -> impl Future<Output = Result<(), ServerError>>;
    /// What its own client says.
    fn sql(&self, database: &str, text: &str) -> impl Future<Output = Result<String, ServerError>>;
    /// Kills it without warning.
    fn kill9(&self) -> impl Future<Output = Result<(), ServerError>>;
    /// Starts it again.
    fn restart(&self) -> impl Future<Output = Result<(), ServerError>>;
}

macro_rules! server {
    ($server:ident) => {
        impl Server for $server {
            fn url(&self, database: &str) -> String {
                $server::url(self, database)
            }

            fn create_database(&self, database: &str) -> impl Future<Output = Result<(), ServerError>> {
                $server::create_database(self, database)
            }

            fn sql(&self, database: &str, text: &str) -> impl Future<Output = Result<String, ServerError>> {
                $server::sql(self, database, text)
            }

            fn kill9(&self) -> impl Future<Output = Result<(), ServerError>> {
                $server::kill9(self)
            }

            fn restart(&self) -> impl Future<Output = Result<(), ServerError>> {
                $server::restart(self)
            }
        }
    };
}

server!(MariaDbServer);
server!(PostgresServer);

/// A database of its own on the server that the tests of this process share.
pub struct Shared<S: 'static> {
    /// The server.
    pub server: &'static S,
    /// The database.
    pub database: String,
}

impl<S: Server> Place for Shared<S> {
    fn settings(&self) -> DbmsSettings {
        settings(self.server.url(&self.database))
    }
}

impl<S: Server> Shared<S> {
    /// What the server's administrator sees.
    pub async fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.database, sql).await.unwrap().trim_end().to_owned()
    }
}

/// The database of node n1 at this address.
pub fn settings(url: String) -> DbmsSettings {
    DbmsSettings { max_reads: 3, ..DbmsSettings::at(url, "n1") }
}

/// A server that is killed and started again under an open transaction. `durable`: what makes sure that all that was committed is written.
pub async fn killed_server<S: Server>(server: S, durable: &str) {
    server.create_database("shop").await.unwrap();
    let mut db = Dbms::open(&settings(server.url("shop"))).await.unwrap();
    let create = ddl(&db, 0, "create table t (id int primary key)");
    one(&mut db, create).await.unwrap();
    one(&mut db, work(1, "insert into t values (1)")).await.unwrap();
    db.run(Some(at(1)), &[work(2, "insert into t values (2)")]).await.unwrap();
    server.sql("shop", durable).await.unwrap();
    server.kill9().await.unwrap();
    assert!(matches!(db.commit(&finish(Some(1), 2)).await, Err(Fault::Lost(_))));
    assert!(matches!(db.load().await, Err(Fault::Lost(_))));
    assert!(matches!(db.recover().await, Err(Fault::Lost(_))), "the server is not there yet");
    let (_, ended) = read(&db.reads(), &read_of("select 1")).await;
    assert!(matches!(ended, Err(ReadError::Lost(_))), "{ended:?}");
    server.restart().await.unwrap();
    db.recover().await.unwrap();
    assert_eq!(db.load().await.unwrap().unwrap().applied, at(1));
    assert_eq!(query(&mut db, 2, "select id from t").await, [json!({"id": 1})]);
    let (_, ended) = read(&db.reads(), &read_of("select 1")).await;
    assert_eq!(ended, Ok(()));
    db.close().await;
}

/// A work of one statement that runs alone.
pub fn alone(offset: u64, sql: &str) -> Work {
    Work { how: How::Alone, ..work(offset, sql) }
}

/// Stops whoever comes to `step` there, for ever, and tells.
pub struct StopAt {
    step: Step,
    told: mpsc::UnboundedSender<()>,
}

impl StopAt {
    /// Steps that stop at this one, and where it is told.
    pub fn steps(step: Step) -> (Steps, mpsc::UnboundedReceiver<()>) {
        let (told, stopped) = mpsc::unbounded_channel();
        (Steps::watched(Arc::new(Self { step, told })), stopped)
    }
}

impl Watch for StopAt {
    fn reached(&self, step: Step) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if step == self.step {
                self.told.send(()).ok();
                std::future::pending().await
            }
        })
    }
}
