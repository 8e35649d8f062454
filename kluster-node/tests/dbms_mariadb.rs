//! The MariaDB adapter against a real MariaDB: the contract of every adapter, and what only MariaDB has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "mariadb/bodies.rs"]
mod bodies;
#[path = "contract/builtins.rs"]
mod builtins;
#[path = "mariadb/builtins.rs"]
mod changing_functions;
mod contract;
#[path = "mariadb/effects.rs"]
mod effects;
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
#[path = "mariadb/refusals.rs"]
mod refusals;
#[path = "contract/server.rs"]
mod server;
#[path = "mariadb/snapshots.rs"]
mod snapshots;
#[path = "mariadb/values.rs"]
mod values;

use kluster_test_servers::{MariaDbServer, shared_mariadb};
use server::*;

type Shared = server::Shared<MariaDbServer>;

async fn shared() -> Shared {
    let server = shared_mariadb().await;
    Shared { server, database: server.new_database("t").await.unwrap() }
}

cases!(shared);
