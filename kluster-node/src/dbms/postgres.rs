//! PostgreSQL.
pub mod address;
pub mod connection;
pub mod error;
pub mod types;
pub mod value;
