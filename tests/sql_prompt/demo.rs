//! `kluster demo` at a terminal.

use kluster_tests::cluster::binary;
use kluster_tests::person::Person;
use std::process::Command;

#[test]
fn the_node_that_comes_back_is_seen_to_catch_up() {
    let mut command = Command::new(binary("kluster"));
    command.args(["demo", "--speed", "fast"]).env("TERM", "xterm-256color").env("NO_COLOR", "1");
    let mut person = Person::before(command);
    person.sees("kill -9 n2");
    person.sees("n2 comes back");
    // Its bar, as indicatif draws it on a terminal only.
    person.sees_any(r"\[[#>█░ -]+\] [0-9,]+ of [0-9,]+ records");
    person.sees("had caught up with");
    person.sees("One checksum, ");
    assert_eq!(person.leaves(), 0);
}
