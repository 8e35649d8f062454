//! The PostgreSQL adapter against a real PostgreSQL: the contract of every adapter, and what only PostgreSQL has.

#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "contract/builtins.rs"]
mod builtins;
#[path = "postgres/builtins.rs"]
mod changing_functions;
#[path = "postgres/clock.rs"]
mod clock;
mod contract;
#[path = "postgres/decoded.rs"]
mod decoded;
#[path = "postgres/effects.rs"]
mod effects;
#[path = "postgres/faults.rs"]
mod faults;
#[path = "contract/held_up.rs"]
mod held_up;
#[path = "postgres/late.rs"]
mod late;
#[path = "postgres/locks.rs"]
mod locks;
#[path = "postgres/opening.rs"]
mod opening;
#[path = "postgres/privileges.rs"]
mod privileges;
#[path = "postgres/refusals.rs"]
mod refusals;
#[path = "contract/server.rs"]
mod server;
#[path = "postgres/values.rs"]
mod values;

use kluster_test_servers::{PostgresServer, shared_postgres};
use server::*;

type Shared = server::Shared<PostgresServer>;

async fn shared() -> Shared {
    let server = shared_postgres().await;
    Shared { server, database: server.new_database("t").await.unwrap() }
}

cases!(shared);
