//! kluster-node: a node beside one database. `kluster-node --help` is its manual.

use std::process::ExitCode;

fn main() -> ExitCode {
    kluster_node::command::main()
}
