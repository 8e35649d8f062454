//! Real servers for tests: Apache Kafka, PostgreSQL and MariaDB, each private to a test or to a test process.
//!
//! ```no_run
//! use kluster_test_servers::{KafkaOptions, KafkaServer, require};
//!
//! # async fn test() {
//! require!(Kafka); // returns from the test, counted as skipped, where Kafka is missing
//! let kafka = KafkaServer::start(KafkaOptions::default()).await.unwrap();
//! // … write to kafka.bootstrap() …
//! kafka.kill9().await.unwrap();
//! kafka.restart().await.unwrap();
//! // … and read it again.
//! # }
//! ```
//!
//! Neighbours: `scripts/setup` installs what is needed, `scripts/kafka` starts Kafka; `docs/development.md` lists the environment
//! variables. No server's client library is used here: tools that come with the servers answer what a comparison needs.
//!
//! Invariants: a server listens on 127.0.0.1 only, on a port that was free, with its files in a directory of its own; it is dropped
//! with all its processes and files, and does not outlive the test process, however that ends.

mod account;
mod docker;
mod engine;
mod error;
mod home;
mod kafka;
mod local;
mod mariadb;
mod name;
mod parting;
mod place;
mod port;
mod postgres;
mod process;
mod programs;
mod shared;
mod skip;
mod template;
mod until;

pub use error::ServerError;
pub use kafka::{KafkaOptions, KafkaServer, kafka_tool};
pub use mariadb::{MariaDbOptions, MariaDbServer};
pub use parting::Parting;
pub use place::{LogServer, Place};
pub use port::free as free_ports;
pub use postgres::{PostgresOptions, PostgresServer};
pub use shared::{shared_kafka, shared_mariadb, shared_mariadb_with_binary_log, shared_postgres};
pub use skip::{Part, record_beyond_setup, record_skip, require};
pub use until::until;
