//! `kluster sql` on real clusters: as a program that scripts run, and as a prompt that a person types at; `kluster up` and `kluster demo` at a terminal.

#![cfg(test)]

mod commands;
mod demo;
mod each_dbms;
mod one_shot;
mod prompt;
mod up;
mod waits;

use kluster_tests::cluster::{Cluster, binary};
use kluster_tests::person::Person;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `kluster sql` for this cluster, with these arguments, and nothing of the tester's own surroundings.
fn kluster(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("kluster"));
    command.arg("sql").args(cluster.flags()).args(arguments);
    for name in
        ["KLUSTER_SQL_READ", "KLUSTER_SQL_ACK", "KLUSTER_SQL_OUTPUT", "KLUSTER_SQL_HISTORY", "KLUSTER_LOG", "NO_COLOR"]
    {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Someone at the prompt of `kluster sql`.
fn at_prompt(cluster: &Cluster, history: &Path, arguments: &[&str]) -> Person {
    let history = history.display().to_string();
    let mut command = kluster(cluster, &[&["--history", &history], arguments].concat());
    // Its stdin is the pseudo terminal.
    command.stdin(Stdio::inherit()).env("TERM", "xterm-256color").env("NO_COLOR", "1");
    Person::before(command)
}

/// What a run said, and how it ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    data: String,
    notes: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it speaks UTF-8");
        Self { code: output.status.code(), data: text(output.stdout), notes: text(output.stderr) }
    }
}

/// Runs it to its end.
fn say(cluster: &Cluster, arguments: &[&str]) -> Said {
    kluster(cluster, arguments).output().expect("kluster starts").into()
}

/// Runs it to its end; this is its stdin.
fn say_with(cluster: &Cluster, arguments: &[&str], stdin: &str) -> Said {
    let mut command = kluster(cluster, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("kluster starts");
    child.stdin.take().expect("stdin is a pipe").write_all(stdin.as_bytes()).expect("kluster reads");
    child.wait_with_output().expect("kluster ends").into()
}

/// Its data, where it ended well.
#[track_caller]
fn data(cluster: &Cluster, arguments: &[&str]) -> String {
    let said = say(cluster, arguments);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.data
}
