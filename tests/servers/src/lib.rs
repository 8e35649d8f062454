//! Real servers for tests: Apache Kafka, PostgreSQL and MariaDB, each private to a test or to a test process.
//!
//! ```ignore
//! use kluster_test_servers::{KafkaOptions, KafkaServer, require};
//!
//! #[tokio::test]
//! async fn an_acknowledged_record_survives_the_broker() {
//!     require!(Kafka); // returns from the test, counted as skipped, where Kafka is missing
//!     let kafka = KafkaServer::start(KafkaOptions::default()).await.unwrap();
//!     // … write to kafka.bootstrap() …
//!     kafka.kill9().await.unwrap();
//!     kafka.restart().await.unwrap();
//!     // … and read it again.
//! }
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
mod place;
mod port;
mod process;
mod programs;
mod shared;
mod skip;

pub use error::ServerError;
pub use kafka::{KafkaOptions, KafkaServer};
pub use place::Place;
pub use shared::shared_kafka;
pub use skip::{Part, record_skip, require};
