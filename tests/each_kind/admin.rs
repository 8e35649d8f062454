//! kluster-admin against real clusters: `load` with all that may befall it, `offsets`, `tail` and `leave`.

use kluster_protocol::{Heartbeat, NodeState, Offset, Topic};
use kluster_tests::cluster::{Cluster, Kind, PATIENCE, binary, load_past_kluster};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Exit code of what was refused.
pub const REFUSED: i32 = 5;

/// How many rows the script writes one by one.
const ROWS: usize = 300;

/// The line of the script at which a parent is missing.
const BROKEN_LINE: usize = 12;

fn admin(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("kluster-admin"));
    command.args(arguments).args(cluster.flags()).stdin(Stdio::null());
    command
}

pub fn run(cluster: &Cluster, arguments: &[&str]) -> Output {
    admin(cluster, arguments).output().expect("kluster-admin starts")
}

/// What a command that must succeed prints as JSON.
fn json_of(cluster: &Cluster, arguments: &[&str]) -> Value {
    let output = run(cluster, &[arguments, &["--output", "json"]].concat());
    let (said, trouble) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {said}\n{trouble}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The database that the script makes for itself where the DBMS has several; the servers are shared with other tests.
fn own(kind: Kind, name: &str) -> Option<String> {
    (kind != Kind::Sqlite).then(|| format!("{name}_{}", std::process::id()))
}

/// A script: what is for the tool, tables, and rows with whatever a splitter may stumble over. Line 12 names `parent`.
fn script(kind: Kind, own: Option<&str>, parent: usize) -> String {
    let head = match (kind, own) {
        (Kind::Postgres, Some(name)) => {
            format!("drop database if exists {name};\ncreate database {name};\n\\c {name}\n-- of psql\n")
        }
        (Kind::MariaDb, Some(name)) => {
            format!("drop database if exists {name};\ncreate database {name};\nuse {name};\n-- of mariadb\n")
        }
        _ => "-- SQLite\n-- has\n-- one\n-- database\n".to_owned(),
    };
    let body = format!(
        "create table album (id integer primary key, title varchar(80) not null);\n\
         create table track (id integer primary key, album integer, words varchar(200), price numeric(8,2),\n  \
         constraint of_album foreign key (album) references album(id));\n\
         insert into album values (1, 'It''s; a \"test\"'), (2, 'é 😀');\n\
         /* a comment; with a semicolon */ insert into track\n  \
         values (1, 1, 'two\nlines', 0.99);\n\
         insert into track values (2, {parent}, '-- no comment', 1.50);\n"
    );
    let rows = (0..ROWS).map(|n| format!("insert into track values ({}, {}, 'w{n}', {n}.25);\n", n + 10, n % 2 + 1));
    head + &body + &rows.collect::<String>()
}

fn written(directory: &Path, name: &str, script: &str) -> PathBuf {
    let file = directory.join(name);
    std::fs::write(&file, script).expect("a script can be written");
    file
}

pub async fn a_script_is_loaded_as_by_the_tool_of_the_dbms(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    let directory = tempfile::tempdir().expect("a directory can be made");
    let own = own(kind, "plain");
    let broken = script(kind, own.as_deref(), 7);
    let at = broken.lines().position(|line| line.contains("no comment")).map(|at| at + 1);
    assert_eq!(at, Some(BROKEN_LINE));
    let (broken, whole) = (
        written(directory.path(), "broken.sql", &broken),
        written(directory.path(), "whole.sql", &script(kind, own.as_deref(), 2)),
    );

    // Refused by the DBMS: the load stops there and says where.
    let refused = run(&cluster, &["load", "--in-flight", "1", &broken.display().to_string()]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(REFUSED), "{said}");
    assert!(said.contains(&format!("broken.sql:{BROKEN_LINE}: refused as foreign_key_violation")), "{said}");
    assert!(said.contains(&format!("--from-line {BROKEN_LINE}")), "{said}");
    let passed = if kind == Kind::Sqlite { 0 } else { 3 };
    assert_eq!(said.matches("passed over").count(), passed, "{said}");
    if kind == Kind::Postgres {
        assert!(said.contains("broken.sql:3: passed over: \\c "), "{said}");
    }
    let tables = cluster.same_everywhere().await;
    let rows = ["album", "track"].map(|table| tables[table].concat());
    assert!(rows[0].contains("😀") && rows[1].contains("0.99") && !rows[1].contains("w0"), "{rows:?}");

    // Refused by the rules: nothing is sent.
    let end = cluster.log().range(Topic::All, 0).await.expect("ALL has a range").end;
    let clock = written(
        directory.path(),
        "clock.sql",
        "insert into album values (9, 'x');\nselect now();\ninsert into t select random();\n",
    );
    let refused = run(&cluster, &["load", &clock.display().to_string()]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(REFUSED), "{said}");
    assert!(said.contains("clock.sql:") && said.contains("Nothing was sent"), "{said}");
    assert_eq!(cluster.log().range(Topic::All, 0).await.expect("ALL has a range").end, end);

    // Mended, it goes on at that line.
    let line = BROKEN_LINE.to_string();
    let done = json_of(&cluster, &["load", "--from-line", &line, "--ack", "all", &whole.display().to_string()]);
    assert_eq!((&done["executed"], &done["failed"]), (&json!(ROWS + 1), &Value::Null), "{done}");
    let loaded = cluster.same_everywhere().await;
    assert_eq!(loaded, load_past_kluster(kind, &whole, own.as_deref()).await);
    assert!(loaded["track"].len() > ROWS);
}

pub async fn a_load_that_was_killed_is_gone_on_with(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    let directory = tempfile::tempdir().expect("a directory can be made");
    let own = own(kind, "again");
    let file = written(directory.path(), "again.sql", &script(kind, own.as_deref(), 2));
    let name = file.display().to_string();
    let mut load = admin(&cluster, &["load", "--in-flight", "1", &name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("kluster-admin starts");
    until_end_is(&cluster, 20).await;
    load.kill().expect("a process can be killed");
    load.wait().expect("a process can be awaited");

    let statements = ROWS + 5;
    let done = json_of(&cluster, &["load", "--resume", &name]);
    let count = |field: &str| done[field].as_u64().unwrap_or_default() as usize;
    assert_eq!(count("executed") + count("executedBefore"), statements, "{done}");
    assert!(count("executedBefore") >= 10, "{done}");
    let loaded = cluster.same_everywhere().await;
    let again = json_of(&cluster, &["load", "--resume", &name]);
    assert_eq!((&again["executed"], &again["executedBefore"]), (&json!(0), &json!(statements)), "{again}");
    assert_eq!(cluster.same_everywhere().await, loaded, "nothing is executed twice");
    assert_eq!(loaded, load_past_kluster(kind, &file, own.as_deref()).await);
}

/// Waits until ALL has so many records.
async fn until_end_is(cluster: &Cluster, records: u64) {
    let reading = async {
        let mut reader = cluster.log().read(Topic::All, 0, Offset::ZERO).await.expect("ALL can be read");
        while reader.next().await.expect("ALL can be read").offset.next().get() < records {}
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the records come");
}

pub async fn offsets_tail_and_leave_tell_what_is_there(kind: Kind) {
    let mut cluster = Cluster::start(kind, 3).await;
    let client = cluster.client().await;
    client.execute("create table t(id integer primary key)").all().await.expect("a table");
    let done = client.execute("insert into t values (1)").all().await.expect("a row");
    let offset = done.offset.expect("it stands in ALL");
    client.execute("insert into t values (1)").all().await.expect_err("the row is there");
    tail(&cluster, offset, done.message_id.as_str());
    offsets(&cluster).await;
    leave(&mut cluster).await;
}

/// The request, three answers to it, and three refusals of the next one, each a line that is the record.
fn tail(cluster: &Cluster, offset: Offset, message_id: &str) {
    let from = offset.to_string();
    let output = run(cluster, &["tail", "--from", &from, "--until-end", "--output", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let of = |topic: &str| lines.iter().filter(|line| line["topic"] == topic).collect::<Vec<_>>();
    assert_eq!((of("ALL").len(), of("RESPONSES").len(), lines.len()), (2, 6, 8), "{said}");
    assert_eq!(of("ALL")[0]["value"]["messageId"], message_id, "{said}");
    assert_eq!(of("ALL")[0]["offset"], json!(offset), "{said}");
    let named = |node: &str, code: &str| {
        let answers = of("RESPONSES").into_iter().map(|line| &line["value"]);
        answers
            .filter(|value| {
                value["nodeId"] == node && value["resultCode"].as_str().is_some_and(|said| said.starts_with(code))
            })
            .count()
    };
    for node in ["n1", "n2", "n3"] {
        assert_eq!((named(node, "OK"), named(node, "ERR: ")), (1, 1), "{node}: {said}");
    }
}

/// Every node and its group come to the end of ALL.
async fn offsets(cluster: &Cluster) {
    let end = cluster.log().range(Topic::All, 0).await.expect("ALL has a range").end;
    let looking = async {
        loop {
            let told = json_of(cluster, &["offsets"]);
            let places = told["offsets"].as_array().expect("a list of places");
            let of = |what: &str| {
                places.iter().filter(|place| place["what"] == what && place["topic"] == "ALL").collect::<Vec<_>>()
            };
            assert_eq!((of("applied").len(), of("committed").len()), (3, 3), "{told}");
            assert!(places.iter().any(|place| place["topic"] == "ONE"), "{told}");
            assert!(
                places.iter().filter(|place| place["topic"] == "ALL").all(|place| place["end"] == json!(end)),
                "{told}"
            );
            let names: Vec<_> = of("applied").iter().map(|place| place["who"].clone()).collect();
            assert_eq!(names, ["n1", "n2", "n3"]);
            // A group's offset is written behind the answer.
            if of("applied").iter().chain(&of("committed")).all(|place| place["lag"] == 0) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("everybody comes to the end");
}

/// A node that runs is not taken out; one that was stopped is, and comes back by itself.
async fn leave(cluster: &mut Cluster) {
    let refused = run(cluster, &["leave", "n3"]);
    assert_eq!(refused.status.code(), Some(REFUSED));
    assert!(text(&refused.stderr).contains("n3 still runs"), "{}", text(&refused.stderr));
    let refused = run(cluster, &["leave", "n9"]);
    assert_eq!(refused.status.code(), Some(REFUSED));
    cluster.nodes[2].signal("TERM");
    assert!(cluster.nodes[2].ended().await.success());
    let left = json_of(cluster, &["leave", "n3"]);
    assert_eq!((&left["left"], &left["membership"]["voters"]), (&json!("n3"), &json!(["n1", "n2"])), "{left}");
    let client = cluster.client().await;
    let done = client.execute("insert into t values (2)").all().await.expect("two are all");
    assert_eq!((done.answered.len(), done.voters), (2, 2));
    let version = left["membership"]["version"].as_u64().expect("a version");
    cluster.nodes[2].restart(&[]);
    let back = |beat: &Heartbeat| beat.membership.version > version && beat.state == NodeState::Ready;
    cluster.heartbeats_until(|beats| ["n1", "n2", "n3"].iter().all(|name| beats.get(*name).is_some_and(back))).await;
    let done = client.execute("insert into t values (3)").all().await.expect("three are all");
    assert_eq!((done.answered.len(), done.voters), (3, 3));
    assert_eq!(cluster.same_everywhere().await["t"], ["1", "2", "3"]);
}
