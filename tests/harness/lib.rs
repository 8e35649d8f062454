//! What is promised, as tests: the simulated cluster with its exact checker, and the harness that runs scripts on every kind of cluster.

pub mod cluster;
mod inline;
pub mod person;
pub mod rounds;
pub mod scripts;
pub mod sim;
pub mod target;

pub use inline::inline;
