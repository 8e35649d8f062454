//! `kluster up` at a terminal: what a person sees and types who has heard of Kluster two minutes ago.

use super::waits::{arrived, end};
use kluster_log::{Log, LogSettings};
use kluster_tests::cluster::{PATIENCE, binary};
use kluster_tests::person::Person;
use std::path::Path;
use std::process::Command;

const PROMPT: &str = "main> ";

/// `kluster up` in this directory, on a port that is free, at a terminal.
fn up(dir: &Path, environment: &[(&str, &str)]) -> Person {
    let mut command = Command::new(binary("kluster"));
    command.args(["up", "--port", "0", "--dir"]).arg(dir.join("data"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KLUSTER_")) {
        command.env_remove(name);
    }
    // A history of its own, where the environment does not say otherwise.
    command.env("XDG_STATE_HOME", dir).env("TERM", "xterm-256color").env("NO_COLOR", "1");
    command.envs(environment.iter().copied());
    Person::before(command)
}

/// Where its log is, as it says when it is ready; and the prompt has come.
fn ready(person: &mut Person) -> String {
    person.sees("ready bootstrap=");
    let bootstrap = person.sees(" nodes=3");
    person.sees("3 nodes, SQLite");
    person.sees(PROMPT);
    bootstrap
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_what_it_started_and_answers_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut person = up(dir.path(), &[]);
    for shown in [
        "A cluster in this process",
        "  log   127.0.0.1:",
        "  n1 ",
        "  n2 ",
        "  n3 ",
        "kluster sql",
        "type SQL; \\q ends",
    ] {
        person.sees(shown);
    }
    ready(&mut person);
    person.types("create table person (id int primary key, name text);");
    person.sees("done");
    person.sees(PROMPT);
    person.types("insert into person values (1, 'Jan');");
    person.sees("1 row");
    person.sees(PROMPT);
    person.types("select name as found from person;");
    person.sees("found");
    person.sees("Jan");
    person.sees(PROMPT);
    person.types("\\q");
    person.sees("the cluster ends with it");
    person.sees("draining");
    assert_eq!(person.leaves(), 0);
    assert!(dir.path().join("kluster/history").is_file());

    // Were the directory's lock still held, this would end with 9.
    let mut later = up(dir.path(), &[]);
    ready(&mut later);
    later.types("select name as found from person;");
    later.sees("found");
    later.sees("Jan");
    later.sees(PROMPT);
    later.ctrl('d');
    assert_eq!(later.leaves(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_wait_and_not_the_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let mut person = up(dir.path(), &[]);
    let log = Log::connect(LogSettings::at(ready(&mut person))).await.unwrap();
    person.types("create table person (id int primary key, name text);");
    person.sees("done");
    person.sees(PROMPT);
    person.types("\\ack all");
    person.sees(PROMPT);
    let from = end(&log).await;
    // Nobody can write to the files for a while, so nobody answers.
    let locks: Vec<rusqlite::Connection> = ["n1", "n2", "n3"].map(|node| lock(dir.path(), node)).into();
    person.types("insert into person values (1, 'Jan');");
    arrived(&log, from, "insert into person").await;
    person.ctrl('c');
    person.sees("is open: it may take effect or not");
    person.sees(PROMPT);
    drop(locks);
    person.types("\\retry");
    person.sees("1 row");
    person.sees(PROMPT);
    // With nothing to wait for it drops the line, and only then says how to leave.
    person.press("select half a line");
    person.sees("half a line");
    person.ctrl('c');
    person.sees(PROMPT);
    person.ctrl('c');
    person.sees("\\q or Ctrl-D leaves");
    person.sees(PROMPT);
    person.types("select count(*) as many from person;");
    person.sees("many");
    person.sees("1 row");
    person.sees(PROMPT);
    person.types("\\q");
    assert_eq!(person.leaves(), 0);
}

/// Holds the write lock of a node's file until it is dropped.
fn lock(dir: &Path, node: &str) -> rusqlite::Connection {
    let file = dir.join("data/databases/main").join(format!("{node}.db"));
    let held = rusqlite::Connection::open(file).expect("the file can be opened");
    held.busy_timeout(PATIENCE).expect("a timeout can be set");
    held.execute_batch("begin immediate").expect("the file can be locked");
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn its_prompt_takes_its_settings_from_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let history = dir.path().join("typed");
    let environment = [
        ("KLUSTER_SQL_READ", "strong"),
        ("KLUSTER_SQL_ACK", "all"),
        ("KLUSTER_SQL_OUTPUT", "csv"),
        ("KLUSTER_SQL_TIMING", "true"),
        ("KLUSTER_SQL_TIMEOUT", "7"),
        ("KLUSTER_SQL_HISTORY", history.to_str().unwrap()),
    ];
    let mut person = up(dir.path(), &environment);
    ready(&mut person);
    person.types("\\settings");
    for line in ["\\read       strong", "\\ack        all", "\\output     csv", "\\timing     on", "--timeout   7 s"] {
        person.sees(line);
    }
    person.sees(PROMPT);
    person.types("select 1 as one, 2 as two;");
    person.sees("\none,two\r");
    person.sees("\n1,2\r");
    person.sees("(strong)");
    person.sees(PROMPT);
    person.types("\\q");
    assert_eq!(person.leaves(), 0);
    assert!(std::fs::read_to_string(history).unwrap().contains("select 1 as one"));

    let mut wrong = up(dir.path(), &[("KLUSTER_SQL_ACK", "most")]);
    wrong.sees("KLUSTER_SQL_");
    wrong.sees("none of first, quorum, all, logged");
    assert_eq!(wrong.leaves(), 2);
}
