//! kluster-node
pub mod dbms;
