//! The MariaDB adapter against a real MariaDB: the contract of every adapter, and what only MariaDB has.

mod contract;

use contract::*;
use kluster_node::dbms::*;
use kluster_node::step::Steps;
use kluster_test_servers::{MariaDbServer, shared_mariadb};

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

cases!(shared);
