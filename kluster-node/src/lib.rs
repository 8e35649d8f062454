//! What happens: the node, a small process between the log and one database.

pub mod dbms;
pub mod fault;
pub mod rows;
pub mod step;
