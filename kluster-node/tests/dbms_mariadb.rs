//! The MariaDB adapter against a real MariaDB: the contract of every adapter, and what only MariaDB has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "mariadb/bodies.rs"]
mod bodies;
mod contract;
#[path = "mariadb/faults.rs"]
mod faults;
#[path = "contract/held_up.rs"]
mod held_up;
#[path = "mariadb/intents.rs"]
mod intents;
#[path = "mariadb/locks.rs"]
mod locks;
#[path = "mariadb/opening.rs"]
mod opening;
#[path = "mariadb/privileges.rs"]
mod privileges;
#[path = "mariadb/values.rs"]
mod values;

use contract::*;
use kluster_node::dbms::*;
use kluster_node::step::{Step, Steps, Watch};
use kluster_test_servers::{MariaDbServer, shared_mariadb};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A database of its own on the server that the tests of this process share.
struct Shared {
    server: &'static MariaDbServer,
    database: String,
}

impl Place for Shared {
    fn settings(&self) -> DbmsSettings {
        settings(self.server.url(&self.database))
    }
}

impl Shared {
    /// What the server's administrator sees.
    async fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.database, sql).await.unwrap().trim_end().to_owned()
    }
}

fn settings(url: String) -> DbmsSettings {
    DbmsSettings {
        url,
        app_url: None,
        read_url: None,
        node_id: "n1".to_owned(),
        max_reads: 3,
        inline: false,
        steps: Steps::default(),
    }
}

async fn shared() -> Shared {
    let server = shared_mariadb().await;
    Shared { server, database: server.new_database("t").await.unwrap() }
}

/// A work of one statement that runs alone.
fn alone(offset: u64, sql: &str) -> Work {
    Work { how: How::Alone, ..work(offset, sql) }
}

/// Stops whoever comes to `step` there, for ever, and tells.
struct StopAt {
    step: Step,
    told: mpsc::UnboundedSender<()>,
}

impl StopAt {
    fn steps(step: Step) -> (Steps, mpsc::UnboundedReceiver<()>) {
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

cases!(shared);
