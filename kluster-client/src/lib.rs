//! How one asks: the client library of Kluster.
//!
//! ```no_run
//! use kluster_client::Client;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Person {
//!     id: i64,
//!     name: String,
//! }
//!
//! # async fn example() -> Result<(), kluster_client::ClientError> {
//! let client = Client::connect("kafka://localhost:9092").await?;
//! client.execute("create table if not exists person(id bigint primary key, name text)").all().await?;
//! let done = client.execute("insert into person(id, name) values ($1, $2)").bind(1).bind("Jan").quorum().await?;
//! println!("executed at offset {:?} by {} nodes", done.offset, done.answered.len());
//!
//! let people: Vec<Person> = client.query("select id, name from person where id = $1").bind(1).fetch().await?;
//! println!("{} is {}", people[0].id, people[0].name);
//!
//! client
//!     .transaction()
//!     .statement("update account set balance = balance - $1 where id = $2 and balance >= $1").bind(10).bind("a").expect_rows(1)
//!     .statement("update account set balance = balance + $1 where id = $2").bind(10).bind("b").expect_rows(1)
//!     .all()
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! Neighbours: it talks to the log only, through the seam of `kluster-log`; it never talks to a node, and nodes know nothing of it.
//!
//! The life of a write: [`Execute`] → `through_all` gives it an id and `sinceOffset`, opens an inbox in `pending` and hands the record to
//! `sending` → nodes answer on RESPONSES → `listener` → `pending` → `answers` counts → [`Done`]. Of a read: [`Query`] → `through_one` (a
//! `barrier` first for strong ones) → `parts` joins, or `stream` passes on → serde.
//!
//! Invariants
//! 1. Every wait ends: answered, refused, timed out or closed. An entry in `pending` vanishes with its waiter.
//! 2. All attempts of a write carry one messageId, one sinceOffset and one body, so it is executed once.
//! 3. Parts of different executions are never joined.
//! 4. Nothing depends on the wall clock, on chance or on the order of a hash map: all time is Tokio's, ids come from [`Options::ids`].

mod address;
mod alarms;
mod answers;
mod barrier;
mod call;
mod client;
mod connection;
mod decode;
mod error;
mod execute;
mod listener;
mod log_end;
mod nodes;
mod options;
mod param;
mod parts;
mod pending;
mod query;
mod rows;
mod sending;
mod session;
mod stream;
mod through_all;
mod through_one;
mod voters;

pub use alarms::{Alarm, Alarms};
pub use answers::{Ack, Answered};
pub use client::Client;
pub use error::{ClientError, Outcome, Ticket, VotersGone};
pub use execute::{Execute, Logged, Transaction};
pub use options::{Ids, Options};
pub use param::{Bytes, Param};
pub use parts::RawRow;
pub use query::{Level, Query};
pub use rows::{Done, Read, Rows};
pub use stream::RowStream;

/// What the client's own types are made of, so that callers need no other crate of ours.
pub use kluster_log::{Log, LogError, LogSettings};
pub use kluster_protocol::{Cells, ClientId, Column, ErrorCode, MessageId, NodeId, Offset, ResponseError, Row};
