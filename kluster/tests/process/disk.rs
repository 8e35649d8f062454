//! The disk while `kluster up` runs and starts: it fills, it has room again, and what it holds is damaged.

use super::kluster::{PATIENCE, Running, command, free_port, start, tables, up};
use kluster_client::{Client, LogSettings};
use kluster_log::Log;
use kluster_protocol::Topic;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TABLE: &str = "create table person(id integer primary key, name varchar(40))";

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_refuses_writes_says_so_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let full = dir.path().join("full");
    let running = up(&dir.path().join("data"), 0, &["--disk-faults", &format!("full-while={}", full.display())]).await;
    let client = running.client().await;
    client.execute(TABLE).all().await.unwrap();
    client.execute("insert into person values (1, 'Jan')").all().await.unwrap();

    std::fs::write(&full, "").unwrap();
    let written = {
        let client = client.clone();
        tokio::spawn(async move { insert(&client, 2, PATIENCE).await })
    };
    running.says("the disk is full: ").await;
    assert!(running.words().contains("takes no writes until there is room"), "{}", running.words());
    assert!(read_again(&running).await >= 2, "what was written is read, full disk or not");
    let (code, words) = asked(&running, "insert into person values (3, 'Eva')").await;
    assert!(code == 6 || code == 4, "{code} {words}");
    assert!(words.contains("the log takes no records: is its disk full?"), "{words}");
    assert!(!written.is_finished(), "nobody has acknowledged it");

    std::fs::remove_file(&full).unwrap();
    running.says("there is room on the disk again").await;
    written.await.unwrap();
    insert(&client, 4, PATIENCE).await;
    client.close();
    running.drained().await;
    let first = tables(&dir.path().join("data"), "n1");
    let ids: Vec<&str> = first["person"].iter().map(|row| row.split('|').next().unwrap()).collect();
    // What was asked by a process that is gone may or may not have come through.
    let certain: Vec<&&str> = ids.iter().filter(|id| **id != "Integer(3)").collect();
    assert_eq!(certain, [&"Integer(1)", &"Integer(2)", &"Integer(4)"]);
    for node in ["n2", "n3"] {
        assert_eq!(tables(&dir.path().join("data"), node), first);
    }
}

async fn insert(client: &Client, id: i64, patience: Duration) {
    let inserted = client.execute("insert into person values ($1, 'Eva')").bind(id).timeout(patience).all().await;
    // A node may be counted out while its heartbeat finds no room; then it is decided all the same.
    if let Err(error) = inserted {
        let ticket = error.ticket().unwrap_or_else(|| panic!("{error}")).clone();
        let again = client.execute("insert into person values ($1, 'Eva')").bind(id).retry(ticket).timeout(patience);
        Box::pin(again.first()).await.unwrap();
    }
}

/// How many records of ALL can be read from its beginning.
async fn read_again(running: &Running) -> u64 {
    let log = Log::connect(LogSettings::at(&running.bootstrap)).await.unwrap();
    let range = log.range(Topic::All, 0).await.unwrap();
    let mut reader = log.read(Topic::All, 0, range.start).await.unwrap();
    let mut read = 0;
    while read < range.end.get() {
        let record = tokio::time::timeout(PATIENCE, reader.next()).await.expect("records can be read").unwrap();
        read = record.offset.get() + 1;
    }
    read
}

/// What a person gets who asks by `kluster sql`: the exit code and what is said.
async fn asked(running: &Running, sql: &str) -> (i32, String) {
    // So long that the silence of the nodes is always noticed first.
    let words = ["sql", "--bootstrap", &running.bootstrap, "--dialect", "sqlite", "--timeout", "60", sql];
    let said = command(&words).output().await.unwrap();
    (said.status.code().unwrap(), String::from_utf8(said.stderr).unwrap())
}

/// The probe of a start finds room, and then the disk fills: while the log is made, while topics are, while nodes join.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_during_the_start_ends_it_with_11() {
    for bytes in ["0", "300", "500", "2000", "6000"] {
        let dir = tempfile::tempdir().unwrap();
        let (code, words) = start(dir.path(), 0, &["--disk-faults", &format!("full-after={bytes}")]).fails().await;
        let last = words.lines().last().unwrap_or_default();
        assert_eq!(code, 11, "{bytes}: {words}");
        assert!(last.starts_with("kluster: the disk is full: ") && last.contains("make room"), "{bytes}: {words}");
        // With room the same directory is a cluster like any other.
        let running = up(dir.path(), 0, &[]).await;
        running.client().await.execute(TABLE).all().await.unwrap();
        running.drained().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_ends_the_start_with_10_file_offset_and_advice() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let running = up(dir.path(), port, &["--nodes", "1"]).await;
    let client = running.client().await;
    client.execute(TABLE).all().await.unwrap();
    for id in 0..10 {
        client.execute("insert into person values ($1, 'Jan')").bind(id).all().await.unwrap();
    }
    // A drained log has a checkpoint, behind which a start reads nothing.
    running.kill().await;
    let segment = segment(dir.path());
    let whole = std::fs::read(&segment).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&segment, &damaged).unwrap();
    let (code, words) = start(dir.path(), port, &[]).fails().await;
    assert_eq!(code, 10, "{words}");
    let line = words.lines().last().unwrap();
    let file = segment.display().to_string();
    let number = |before: &str, after: &str| {
        let (_, rest) = line.split_once(before).unwrap_or_else(|| panic!("{before:?} is not said: {line}"));
        rest.split_once(after).unwrap().0.parse::<usize>().unwrap()
    };
    assert!(line.contains(&file), "{line}");
    let (byte, offset) = (number("damaged at byte ", ","), number("offset ", ":"));
    assert!(byte <= middle && middle - byte < 1000, "the batch with byte {middle}: {line}");
    assert!((1..11).contains(&offset), "{line}");
    assert!(
        line.contains("Restore the file from a copy") && line.contains(&format!("truncate -s {byte} {file}")),
        "{line}"
    );
    // The first advice, followed.
    std::fs::write(&segment, &whole).unwrap();
    let running = up(dir.path(), port, &[]).await;
    let count: i64 = running.client().await.query("select count(*) from person").strong().fetch_one().await.unwrap();
    assert_eq!(count, 10);
    running.drained().await;
}

/// The only segment of ALL.
fn segment(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("log/ALL-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut logs = files.filter(|path| path.extension().is_some_and(|end| end == "log"));
    let segment = logs.next().unwrap();
    assert!(logs.next().is_none());
    segment.canonicalize().unwrap()
}
