//! Waits that end without an answer: by hand, by time, because nobody is there, because nodes differ.

use super::{Said, at_prompt, data, kluster, say};
use kluster_log::Log;
use kluster_protocol::{Offset, Topic};
use kluster_test_servers::require;
use kluster_tests::cluster::{Cluster, Kind, PATIENCE, signal};
use std::net::TcpListener;
use std::process::Stdio;
use tokio::time::timeout;

const TABLE: &str = "create table person (id integer primary key, name text)";
const INSERT: &str = "insert into person values (1, 'Jan')";
const PROMPT: &str = "main> ";

/// Stops or continues every node.
pub fn all_nodes(cluster: &Cluster, name: &str) {
    cluster.nodes.iter().for_each(|node| node.signal(name));
}

/// The end of ALL.
pub async fn end(log: &Log) -> Offset {
    log.range(Topic::All, 0).await.expect("ALL has a range").end
}

/// Waits until a record whose text holds `words` is in ALL at or behind this place.
pub async fn arrived(log: &Log, from: Offset, words: &str) {
    let mut reader = log.read(Topic::All, 0, from).await.expect("ALL can be read");
    let reading = async {
        loop {
            let record = reader.next().await.expect("ALL can be read");
            if String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).contains(words) {
                return;
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("the statement comes into the log");
}

/// So many rows joined with themselves so often end in the life of no one.
const ENDLESS: &str = "with recursive n(v) as (select 0 union all select v + 1 from n where v < 60) \
    select count(*) as many from n a, n b, n c, n d, n e, n f, n g, n h, n i where a.v + b.v + c.v + d.v + e.v + f.v + g.v + h.v + i.v < 0";

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_interrupted_ends_on_its_node() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 1).await;
    // It takes part in ONE.
    data(&cluster, &["select 1"]);
    let mut command = kluster(&cluster, &[ENDLESS]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kluster starts");
    cluster.asked("a.v + b.v").await;
    signal(child.id(), "INT");
    let said = Said::from(child.wait_with_output().expect("kluster ends"));
    assert_eq!(said.code, Some(130), "{said:?}");
    assert!(said.notes.contains("the read was ended on node n"), "{}", said.notes);

    let directory = tempfile::tempdir().unwrap();
    let mut person = at_prompt(&cluster, &directory.path().join("history"), &[]);
    person.sees(PROMPT);
    person.types(&format!("{};", ENDLESS.replace("a.v + b.v", "b.v + a.v")));
    cluster.asked("b.v + a.v").await;
    person.ctrl('c');
    person.sees("the read was ended on node n");
    person.sees(PROMPT);
    person.types("select 6 * 7 as answer;");
    person.sees("42");
    person.sees(PROMPT);
    person.ctrl('d');
    assert_eq!(person.leaves(), 0);
}

/// The ticket in what was printed.
pub fn ticket(notes: &str) -> String {
    let (_, rest) = notes.split_once("--retry '").unwrap_or_else(|| panic!("no ticket in {notes}"));
    rest.split('\'').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_write_is_open_and_its_retry_is_executed_once() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 3).await;
    data(&cluster, &["--ack", "all", TABLE]);
    let from = end(cluster.log()).await;
    all_nodes(&cluster, "STOP");
    let mut command = kluster(&cluster, &["--dialect", "sqlite", INSERT]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kluster starts");
    arrived(cluster.log(), from, "insert into person").await;
    signal(child.id(), "INT");
    let said = Said::from(child.wait_with_output().expect("kluster ends"));
    all_nodes(&cluster, "CONT");
    assert_eq!(said.code, Some(130), "{said:?}");
    assert!(said.notes.contains("is open: it may take effect or not"), "{}", said.notes);
    let ticket = ticket(&said.notes);
    for _ in 0..2 {
        let again = say(&cluster, &["--retry", &ticket, "--timing", INSERT]);
        assert_eq!(again.code, Some(0), "{again:?}");
        assert!(again.notes.contains("1 row · offset "), "{again:?}");
    }
    let other = say(&cluster, &["--retry", &ticket, "delete from person"]);
    assert!(other.code == Some(5) && other.notes.contains("message_id_reuse"), "{other:?}");
    assert_eq!(cluster.same_everywhere().await["person"], ["1|Jan"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_answered_in_time_ends_with_6() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 2).await;
    data(&cluster, &["--ack", "all", TABLE]);
    all_nodes(&cluster, "STOP");
    let write = say(&cluster, &["--dialect", "sqlite", "--ack", "first", "--timeout", "1", INSERT]);
    let read = say(&cluster, &["--dialect", "sqlite", "--timeout", "1", "select 1"]);
    all_nodes(&cluster, "CONT");
    assert_eq!((write.code, read.code), (Some(6), Some(6)), "{write:?} {read:?}");
    assert!(write.notes.contains("no answer in time; the outcome of request "), "{write:?}");
    assert!(read.notes.contains("no answer in time; it has no effect"), "{read:?}");
    let again = say(&cluster, &["--retry", &ticket(&write.notes), INSERT]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(cluster.same_everywhere().await["person"], ["1|Jan"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_where_nobody_answers_is_told_what_to_do() {
    require!(Kafka);
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cluster = Cluster::without_nodes().await;
    let nowhere = say(&cluster, &["--kafka-property", &format!("client.id=x{port}"), "select 1"]);
    assert_eq!(nowhere.code, Some(4), "{nowhere:?}");
    assert!(
        nowhere.notes.contains("no node of database `main` was ever heard of")
            && nowhere.notes.contains("`kluster up`"),
        "{nowhere:?}"
    );
    let address = format!("127.0.0.1:{port}");
    let mut command = std::process::Command::new(kluster_tests::cluster::binary("kluster"));
    let nobody =
        Said::from(command.args(["--bootstrap", &address, "sql", "select 1"]).output().expect("kluster starts"));
    assert_eq!(nobody.code, Some(4), "{nobody:?}");
    assert_eq!(
        nobody.notes,
        format!(
            "kluster: no cluster answers at {address}. `kluster up` starts one on this machine; --bootstrap says where another is\n"
        )
    );
    let missing = say(&cluster, &["--database", "missing", "select 1"]);
    assert!(missing.code == Some(4) && missing.notes.contains("so no database `missing` of Kluster"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_differ_end_it_with_3() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 3).await;
    data(&cluster, &["--ack", "all", TABLE, "-c", INSERT]);
    cluster.caught_up().await;
    go_astray(&cluster);
    let said = say(&cluster, &["--ack", "all", "update person set name = 'Eva'"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.notes.contains("differ at offset"), "{said:?}");
}

/// Changes one node's data past the log, as nobody may.
pub fn go_astray(cluster: &Cluster) {
    let url = cluster.nodes[1].database().url();
    let file = url.strip_prefix("sqlite:").expect("a cluster on SQLite");
    let database = rusqlite::Connection::open(file).expect("the file can be opened");
    database.busy_timeout(PATIENCE).expect("a timeout can be set");
    database.execute("delete from person", []).expect("the row can be deleted");
}
