//! How `kluster up` starts, ends, comes back, and says why it can't.

use super::kluster::{Starting, command, free_port, start, tables, up};
use kluster_client::ErrorCode;
use std::path::Path;
use std::time::{Duration, Instant};

const TABLE: &str = "create table person(id integer primary key, name varchar(40))";

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_when_it_says_so_drains_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let first = up(dir.path(), 0, &[]).await;
    assert_eq!(first.nodes, 3);
    println!("ready {:.2} s after the start", first.took.as_secs_f64());
    let client = first.client().await;
    let begun = Instant::now();
    client.query("select 1").eventual().rows().await.unwrap();
    println!("a first read took {:.3} s more", begun.elapsed().as_secs_f64());
    client.execute(TABLE).all().await.unwrap();
    client.execute("insert into person values (1, 'Jan')").all().await.unwrap();
    let words = first.words();
    for part in [first.bootstrap.as_str(), "n1", "n3", "http://127.0.0.1:", "kluster sql", "not highly available"] {
        assert!(words.contains(part), "{part:?} is not said: {words}");
    }
    client.close();
    first.drained().await;

    let second = up(dir.path(), 0, &[]).await;
    assert_eq!(second.nodes, 3, "as many as at the first start");
    println!("ready {:.2} s after a start on what was there", second.took.as_secs_f64());
    let client = second.client().await;
    let names: Vec<String> = client.query("select name from person").strong().fetch().await.unwrap();
    assert_eq!(names, ["Jan"]);
    let twice = client.execute("insert into person values (1, 'Eva')").all().await.unwrap_err();
    let code = match twice {
        kluster_client::ClientError::Refused { error, .. } => error.code,
        other => panic!("{other}"),
    };
    assert_eq!(code, ErrorCode::UniqueViolation);
    second.signal("INT");
    let (status, more, words) = second.ended().await;
    assert_eq!((status.code(), more), (Some(0), vec![]), "{words}");
    assert_eq!(tables(dir.path(), "n1"), tables(dir.path(), "n3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_and_a_directory_belong_to_one() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let running = up(dir.path(), port, &["--nodes", "1"]).await;
    let (code, words) = start(dir.path(), 0, &[]).fails().await;
    assert_eq!(code, 9, "{words}");
    assert!(one_line(&words).contains(&format!("in use by process {}", running.pid())), "{words}");
    let other = tempfile::tempdir().unwrap();
    let (code, words) = start(other.path(), port, &[]).fails().await;
    assert_eq!(code, 8, "{words}");
    assert!(one_line(&words).contains(&format!("127.0.0.1:{port}")), "{words}");
    running.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, words) = start(&file.join("below"), 0, &[]).fails().await;
    assert_eq!(code, 10, "{words}");
    assert!(one_line(&words).contains("file/below"), "{words}");
    let damaged = dir.path().join("damaged");
    std::fs::create_dir_all(damaged.join("databases/main")).unwrap();
    std::fs::write(damaged.join("databases/main/cluster.json"), "{").unwrap();
    let (code, words) = start(&damaged, 0, &[]).fails().await;
    assert_eq!(code, 10, "{words}");
    assert!(one_line(&words).contains("cluster.json cannot be read"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_in_one_line() {
    let small = "mount -t tmpfs -o size=3m tmpfs /mnt && exec \"$0\" up --dir /mnt/data --port 0";
    let own_mounts =
        std::process::Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !own_mounts.is_ok_and(|tried| tried.status.success()) {
        return kluster_test_servers::record_beyond_setup("this user may not mount a small disk (unshare -rm)");
    }
    let mut command = tokio::process::Command::new("unshare");
    command.args(["-rm", "sh", "-c", small, env!("CARGO_BIN_EXE_kluster")]).kill_on_drop(true);
    let (code, words) = Starting::of(&mut command).fails().await;
    assert_eq!(code, 11, "{words}");
    assert!(one_line(&words).contains("the disk is full: /mnt/data has no 4 MiB left"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let running = up(dir.path(), 0, &["--nodes", "1"]).await;
    let client = running.client().await;
    // A read under way is finished before a node has drained; this one takes as long as a read may.
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
    let reading = tokio::spawn(async move { client.query(endless).eventual().rows().await });
    // More than all else takes that a cluster does at its start.
    running.works_for(Duration::from_secs(2)).await;
    running.signal("TERM");
    running.says("draining").await;
    running.signal("TERM");
    let (status, _, words) = running.ended().await;
    assert_eq!(status.code(), Some(130), "{words}");
    reading.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_its_terminal_where_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut deaf = tokio::process::Command::new("sh");
    let ignoring = "trap '' HUP; exec \"$0\" up --nodes 1 --port 0 --dir \"$1\"";
    deaf.args(["-c", ignoring, env!("CARGO_BIN_EXE_kluster"), path(dir.path())]).kill_on_drop(true);
    let running = Starting::of(&mut deaf).ready().await;
    running.signal("HUP");
    running.client().await.execute(TABLE).all().await.unwrap();
    running.drained().await;
    let running = up(dir.path(), 0, &[]).await;
    running.signal("HUP");
    let (status, _, words) = running.ended().await;
    assert_eq!(status.code(), Some(0), "a hangup ends it in order: {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_alone_serves_what_up_has_written() {
    let dir = tempfile::tempdir().unwrap();
    let running = up(dir.path(), 0, &["--nodes", "1"]).await;
    running.client().await.execute(TABLE).all().await.unwrap();
    running.drained().await;
    let alone = Starting::of(&mut command(&["broker", "--port", "0", "--dir", path(dir.path())])).ready().await;
    let log = kluster_log::Log::connect(kluster_client::LogSettings::at(&alone.bootstrap)).await.unwrap();
    let end = log.range(kluster_protocol::Topic::All, 0).await.unwrap().end;
    assert!(end.get() >= 2, "a join and a request: {end}");
    alone.drained().await;
}

fn path(dir: &Path) -> &str {
    dir.to_str().unwrap()
}

/// What was said, which is one line.
fn one_line(words: &str) -> &str {
    assert_eq!(words.lines().count(), 1, "{words}");
    words
}
