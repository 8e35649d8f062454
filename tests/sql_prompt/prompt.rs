//! The prompt, in a real pseudo terminal.

use super::waits::{all_nodes, arrived, end, go_astray};
use super::{at_prompt, data};
use kluster_test_servers::require;
use kluster_tests::cluster::{Cluster, Kind, binary, signal};
use kluster_tests::person::{Person, UP};

const TABLE: &str = "create table person (id integer primary key, name text)";
const PROMPT: &str = "main> ";

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_goes_over_lines_is_remembered_and_completed() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 3).await;
    data(&cluster, &["--ack", "all", TABLE, "-c", "insert into person values (1, 'it''s; Jan')"]);
    let directory = tempfile::tempdir().unwrap();
    let history = directory.path().join("deep/history");
    let mut person = at_prompt(&cluster, &history, &[]);
    person.sees("3 nodes, SQLite");
    person.sees(PROMPT);
    // First, for how often it takes would be seen in the history.
    completed(&mut person);
    person.types("select 'a;b' as c,");
    person.types("  id -- the key;");
    person.types("from person;");
    person.sees("a;b │  1");
    person.sees("1 row");
    person.sees(PROMPT);
    person.types("select * from person;");
    person.sees("it's; Jan");
    person.sees(PROMPT);
    person.ctrl('d');
    assert_eq!(person.leaves(), 0);

    let mut later = at_prompt(&cluster, &history, &[]);
    later.sees(PROMPT);
    later.press(UP);
    later.sees("select * from person;");
    later.press(UP);
    later.press("\r");
    later.sees("a;b │  1");
    later.sees(PROMPT);
    later.types("\\q");
    assert_eq!(later.leaves(), 0);
}

/// Presses Tab until the table's name is known: it is fetched in the background.
fn completed(person: &mut Person) {
    for _ in 0..1000 {
        person.types("select 1 from per\t where false;");
        let seen = person.sees_any("0 rows|no such table: per");
        person.sees(PROMPT);
        if seen == "0 rows" {
            return;
        }
    }
    panic!("the table's name is never completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_wait_and_not_the_program() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 3).await;
    data(&cluster, &["--ack", "all", TABLE]);
    let directory = tempfile::tempdir().unwrap();
    let mut person = at_prompt(&cluster, &directory.path().join("history"), &["--timing"]);
    person.sees(PROMPT);
    let from = end(cluster.log()).await;
    all_nodes(&cluster, "STOP");
    person.types("insert into person values (1, 'Jan');");
    arrived(cluster.log(), from, "insert into person").await;
    person.ctrl('c');
    person.sees("is open: it may take effect or not");
    person.sees("\\retry asks again");
    person.sees(PROMPT);
    person.types("\\retry");
    person.sees("asking again: request ");
    person.ctrl('c');
    person.sees("is open: it may take effect or not");
    person.sees(PROMPT);
    all_nodes(&cluster, "CONT");
    person.types("\\retry");
    person.sees("1 row · offset ");
    person.sees(" of 3 nodes (quorum)");
    person.sees(PROMPT);
    person.types("\\retry");
    person.sees("nothing was left open");
    person.sees(PROMPT);
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
    person.ctrl('d');
    assert_eq!(person.leaves(), 0);
    assert_eq!(cluster.same_everywhere().await["person"], ["1|Jan"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_gathered_in_sight() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 3).await;
    data(&cluster, &["--ack", "all", TABLE]);
    let directory = tempfile::tempdir().unwrap();
    let mut person = at_prompt(&cluster, &directory.path().join("history"), &[]);
    person.sees(PROMPT);
    person.types("begin;");
    person.sees("commit; sends it all as one request");
    person.sees("main begin+0> ");
    person.types("insert into person values (1, 'Jan');");
    person.sees("main begin+1> ");
    person.types("savepoint a;");
    person.sees("it is not gathered; what was before it still is");
    person.sees("main begin+1> ");
    person.types("select count(*) as inside from person;");
    person.sees("main begin+2> ");
    assert_eq!(data(&cluster, &["-o", "csv", "select count(*) as n from person"]), "n\r\n0\r\n", "nothing is sent yet");
    person.types("commit;");
    person.sees("inside");
    person.sees("committed");
    person.sees(PROMPT);
    person.types("begin; insert into person values (2, 'Eva');");
    person.sees("main begin+1> ");
    person.types("rollback;");
    person.sees("1 statement dropped, nothing was sent");
    person.sees(PROMPT);
    person.types("selct;");
    person.sees("refused as syntax_error by n");
    person.sees(PROMPT);
    person.types("begin; insert into person values (3, 'Max');");
    person.sees("main begin+1> ");
    person.ctrl('d');
    person.sees("1 statement gathered since begin, not sent");
    assert_eq!(person.leaves(), 0);
    assert_eq!(cluster.same_everywhere().await["person"], ["1|Jan"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_differ_are_announced_above_the_line() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 3).await;
    data(&cluster, &["--ack", "all", TABLE, "-c", "insert into person values (1, 'Jan')"]);
    cluster.caught_up().await;
    go_astray(&cluster);
    let directory = tempfile::tempdir().unwrap();
    let mut person = at_prompt(&cluster, &directory.path().join("history"), &["--ack", "first"]);
    person.sees(PROMPT);
    person.types("update person set name = 'Eva';");
    person.sees("NODES DIFFER: ");
    // Both lines at once: what is typed ahead is not lost.
    person.types("select 5 as five;\rselect 6 as six;");
    person.sees("\r\n    5\r\n");
    person.sees("main NODES DIFFER> ");
    person.sees("\r\n   6\r\n");
    person.types("\\q");
    assert_eq!(person.leaves(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_prompt_leaves_the_terminal_as_it_was() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 1).await;
    let mut command = std::process::Command::new("sh");
    let program = binary("kluster");
    command
        .args(["-c", r#"echo "shell $$."; "$0" "$@"; echo "ended with $?"; stty -a"#])
        .arg(program)
        .arg("sql")
        .args(cluster.flags());
    command.args(["--history", "none"]).env("TERM", "xterm-256color");
    let mut person = Person::before(command);
    person.sees("shell ");
    let shell = person.sees(".").parse().expect("a process has a number");
    person.sees(PROMPT);
    person.press("select half");
    person.sees("half");
    signal(child_of(shell), "TERM");
    person.sees("ended with 0");
    person.sees(" icanon ");
    assert_eq!(person.leaves(), 0);
}

/// The only child of a process.
fn child_of(process: u32) -> u32 {
    let children =
        std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).expect("the process runs");
    children.trim().parse().expect("it has one child")
}
