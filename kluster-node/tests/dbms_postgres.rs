//! The PostgreSQL adapter against a real PostgreSQL: the contract of every adapter, and what only PostgreSQL has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod contract;

use contract::*;
use kluster_node::dbms::DbmsSettings;
use kluster_node::step::Steps;
use kluster_test_servers::{PostgresServer, shared_postgres};

/// A database of its own on the server that the tests of this process share.
struct Shared {
    server: &'static PostgresServer,
    database: String,
}

impl Place for Shared {
    fn settings(&self) -> DbmsSettings {
        settings(self.server.url(&self.database))
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
    let server = shared_postgres().await;
    Shared { server, database: server.new_database("t").await.unwrap() }
}

cases!(shared);
