//! The log on one machine: a small server of the Kafka protocol in one process, for the embedded default, for trying and for tests.
//!
//! It knows no SQL and none of Kluster's records. What it acknowledges is on disk; it is never highly available, for nothing is copied to another
//! machine. Production is Apache Kafka with the same programs and another bootstrap address.
//!
//! ```no_run
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! use kluster_broker::{Broker, BrokerSettings};
//!
//! let broker = Broker::open(BrokerSettings::new("./data")).await?;
//! println!("bootstrap.servers={}", broker.address());
//! tokio::signal::ctrl_c().await?;
//! broker.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A request's way: `server` accepts, `connection` reads a frame (`frame`), `api` decodes it and answers from [`topics`], whose
//! [`partition`]s are files, or from the `coordinator`, which keeps groups of consumers and their offsets; `connection` writes the answer.

mod api;
pub mod batch;
mod broker;
mod connection;
mod coordinator;
mod descriptors;
mod disk;
pub mod fault;
mod frame;
mod group;
pub mod lock;
mod offsets;
pub mod partition;
mod server;
mod settings;
pub mod topic_config;
pub mod topics;

pub use broker::{Broker, BrokerError};
pub use coordinator::GroupSettings;
pub use offsets::OffsetsError;
pub use settings::{BrokerSettings, DEFAULT_PORT};
