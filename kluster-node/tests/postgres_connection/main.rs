//! The PostgreSQL connection against a real server.
#![allow(clippy::unwrap_used, reason = "clippy's allow-unwrap-in-tests knows only the #[test] functions themselves")]

mod faults;
mod login;
mod plans;
mod replies;
mod server;
mod sizes;
mod values;

use kluster_node::dbms::postgres::connection::{Connection, NO_PARAMS, Pipeline, Plan, Reply, Rows};
use kluster_node::dbms::postgres::error::PgError;

/// More than any result of these tests but the large ones.
const LIMIT: usize = 1024 * 1024;

async fn connect() -> Connection {
    Connection::connect(&server::server().superuser()).await.unwrap()
}

/// Queues a statement without parameters.
fn queue(pipeline: &mut Pipeline<'_>, sql: &str) {
    pipeline.queue(sql, Plan::Once, NO_PARAMS).unwrap();
}

/// The first cell of the first row of a statement.
async fn one(connection: &mut Connection, sql: &str) -> String {
    let rows = connection.query(sql, NO_PARAMS).await.unwrap();
    rows.rows[0].text(0).unwrap().into_owned()
}

fn done(reply: &Reply) -> &Rows {
    match reply {
        Reply::Done(rows) => rows,
        other => panic!("expected success, got {other:?}"),
    }
}

fn failed(reply: &Reply) -> &PgError {
    match reply {
        Reply::Failed(error) => error,
        other => panic!("expected a refusal, got {other:?}"),
    }
}
