//! The database beside the node.
pub mod postgres;
