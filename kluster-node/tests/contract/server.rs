//! What the tests of a DBMS with a server say beside the contract: databases on the server that the tests of a process share, works that run alone,
//! and a stop at a step.

use super::contract::{Place, work};
use kluster_node::dbms::{DbmsSettings, How, Work};
use kluster_node::step::{Step, Steps, Watch};
use kluster_test_servers::{MariaDbServer, PostgresServer, ServerError};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A server that tests share.
pub trait Server {
    /// The address of a database for its administrator.
    fn url(&self, database: &str) -> String;
    /// What its own client says.
    fn sql(&self, database: &str, text: &str) -> impl Future<Output = Result<String, ServerError>>;
}

macro_rules! server {
    ($server:ident) => {
        impl Server for $server {
            fn url(&self, database: &str) -> String {
                $server::url(self, database)
            }

            fn sql(&self, database: &str, text: &str) -> impl Future<Output = Result<String, ServerError>> {
                $server::sql(self, database, text)
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
