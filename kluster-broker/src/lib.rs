//! The log on one machine: a small server of the Kafka protocol in one process, for the embedded default, for trying and for tests.
//!
//! It knows no SQL and none of Kluster's records. What it acknowledges is on disk; it is never highly available, for nothing is copied to another
//! machine. Production is Apache Kafka with the same programs and another bootstrap address.

#[allow(dead_code, unused_imports)]
mod group;
