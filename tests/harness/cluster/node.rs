//! kluster-node as the tests start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    kluster_node::command::main()
}
