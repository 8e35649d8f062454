//! kluster-admin verify and the nodes' own checks, against real clusters: what differs is found, named and shown; what is equal is equal
//! whatever its physical order; a check gives way and holds nobody up.

use kluster_protocol::check::{CheckReport, Progress};
use kluster_protocol::{CheckMark, Heartbeat, NodeState, Offset, SystemError, Topic};
use kluster_test_servers::{require, until};
use kluster_tests::cluster::{Cluster, Database, Kind, PATIENCE, binary};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

/// Exit code: tables differ.
const DIFFER: i32 = 3;
/// Exit code: a voter has not done the check.
const OPEN: i32 = 6;

async fn verify(cluster: &Cluster, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = Command::new(binary("kluster-admin"));
    command.arg("verify").args(arguments).args(["--output", "json"]).args(cluster.flags()).stdin(Stdio::null());
    let output: Output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("a thread can be awaited")
        .expect("kluster-admin starts");
    let (said, trouble) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}\n{trouble}"));
    (output.status.code(), said)
}

/// Tables with every kind of key and many kinds of values, and rows whose physical order a test can change.
async fn fill(cluster: &Cluster, kind: Kind) {
    let client = cluster.client().await;
    let (double, blob, bytes) = match kind {
        Kind::Postgres => ("double precision", "bytea", "'\\x00ff'"),
        Kind::MariaDb => ("double", "blob", "x'00ff'"),
        Kind::Sqlite => ("double", "blob", "x'00ff'"),
    };
    for sql in [
        format!(
            "create table person (id integer primary key, name varchar(80), weight {double}, score real, photo {blob}, \
             born date, paid decimal(12,3), note text)"
        ),
        "create table pair (a integer not null, b varchar(20) not null, c integer, primary key (b, a))".to_owned(),
        "create table keyless (word varchar(40), number integer)".to_owned(),
        "create view heavy as select id, name from person where weight > 50".to_owned(),
        "create index by_name on person (name)".to_owned(),
    ] {
        client.execute(&sql).all().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    for n in 0..20 {
        let sql = format!(
            "insert into person values ({n}, 'name é {n}', {n}.1, {n}.3, {bytes}, '2001-02-03', {n}.125, null)"
        );
        client.execute(&sql).all().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        client.execute(format!("insert into pair values ({n}, 'b{n}', null)")).all().await.expect("a pair");
        client.execute("insert into keyless values ('same', 1)").all().await.expect("a row without key");
    }
    // Rows that move.
    client.execute("update person set note = 'moved' where id < 5").all().await.expect("an update");
    client.execute("delete from pair where a = 3").all().await.expect("a delete");
}

fn tables(said: &Value) -> BTreeMap<String, bool> {
    let tables = said["tables"].as_array().expect("a list of tables").iter();
    let table = |table: &Value| {
        let equal = table["equal"].as_bool().unwrap_or_else(|| panic!("not compared: {table}"));
        (table["table"].as_str().expect("a name").trim_start_matches("public.").to_owned(), equal)
    };
    tables.map(table).collect()
}

/// Rewrites the database so that its rows lie elsewhere.
async fn move_rows(database: &Database) {
    match database {
        Database::Postgres(..) => {
            database.sql("vacuum full person").await;
            database.sql("create table k as select * from pair order by c, a desc; truncate pair; insert into pair select * from k order by a desc; drop table k").await
        }
        Database::MariaDb(..) => database.sql("alter table person force; alter table keyless force").await,
        Database::Sqlite(file, _) => {
            let database = rusqlite::Connection::open(file).expect("the file can be opened");
            let move_rows = "begin; create temp table k as select * from pair; delete from pair; insert into pair select * from k order by a desc; commit";
            database.execute_batch(move_rows).expect("rows can be written anew");
            String::new()
        }
    };
}

pub async fn equal_tables_are_equal_however_their_rows_lie(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    fill(&cluster, kind).await;
    move_rows(cluster.nodes[1].database()).await;
    let (code, said) = verify(&cluster, &[]).await;
    assert_eq!((code, &said["equal"]), (Some(0), &json!(true)), "{said:#}");
    let found = tables(&said);
    for name in ["(schema)", "person", "pair", "keyless"] {
        assert_eq!(found.get(name), Some(&true), "{name}: {said:#}");
    }
    assert!(said["check"]["offset"].as_u64().is_some_and(|offset| offset > 60), "{said:#}");
    assert_eq!(
        said["tables"]
            .as_array()
            .expect("tables")
            .iter()
            .find(|t| t["table"].as_str().expect("a name").ends_with("person"))
            .expect("person")["rows"]["n2"],
        20
    );
}

pub async fn a_changed_row_is_found_named_and_shown(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    fill(&cluster, kind).await;
    let database = cluster.nodes[1].database();
    database.sql("update person set name = 'altered' where id = 7").await;
    database.sql("delete from pair where a = 5").await;
    let (code, said) = verify(&cluster, &[]).await;
    assert_eq!(code, Some(DIFFER), "{said:#}");
    let differing: Vec<String> = tables(&said).into_iter().filter(|(_, equal)| !equal).map(|(name, _)| name).collect();
    assert_eq!(differing, ["pair", "person"], "{said:#}");
    let unlike = |table: &str| {
        let all = said["differences"].as_array().expect("a list of differences");
        let found = all.iter().find(|one| one["table"].as_str().expect("a name").ends_with(table));
        found.unwrap_or_else(|| panic!("{table} is not shown: {said:#}"))
    };
    let person = unlike("person");
    assert_eq!(
        (person["key"].clone(), person["rows"].as_array().map(Vec::len)),
        (json!(["id"]), Some(1)),
        "{person:#}"
    );
    let names: Vec<&Value> = ["n1", "n2", "n3"].iter().map(|node| &person["rows"][0][node][0]["name"]).collect();
    assert_eq!(names, ["name é 7", "altered", "name é 7"], "{person:#}");
    let pair = unlike("pair");
    assert_eq!((&pair["rows"][0]["n1"][0]["a"], &pair["rows"][0]["n2"]), (&json!("5"), &json!([])), "{pair:#}");

    // The node stops, and says which tables, not which values.
    let stopped = |beat: &Heartbeat| matches!(&beat.state, NodeState::Stopped { code, .. } if code == "diverged");
    cluster.heartbeats_until(|beats| beats.get("n2").is_some_and(stopped)).await;
    let errors = errors(&cluster).await;
    let fatal: Vec<&SystemError> = errors
        .iter()
        .filter(|error| error.node_id.as_str() == "n2" && error.code.as_deref() == Some("diverged"))
        .collect();
    let message = &fatal.last().expect("n2 says why").message;
    for word in ["person", "pair", "at offset", said["check"]["id"].as_str().expect("an id")] {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert!(errors.iter().all(|error| !error.message.contains("altered")), "values are no part of a report");
    // The others go on.
    let client = cluster.client().await;
    client.execute("insert into keyless values ('on', 2)").quorum().await.expect("two of three are a quorum");

    // What was found stays to be seen.
    let (code, last) = verify(&cluster, &["--last"]).await;
    assert_eq!((code, &last["differences"]), (Some(DIFFER), &said["differences"]));
}

/// An index, a default and the order of columns that one node alone has.
pub async fn a_changed_schema_is_found_named_and_shown(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    fill(&cluster, kind).await;
    let client = cluster.client().await;
    for sql in [
        "create table with_default (id integer primary key, a integer default 1)",
        "create table in_order (id integer primary key, a integer, b integer)",
    ] {
        client.execute(sql).all().await.expect("a table");
    }
    let database = cluster.nodes[1].database();
    let changes: &[&str] = match kind {
        Kind::Postgres => &[
            "create index extra on person (weight)",
            "alter table with_default alter column a set default 2",
            "alter table in_order drop column a, add column a integer",
        ],
        Kind::MariaDb => &[
            "create index extra on person (weight)",
            "alter table with_default alter column a set default 2",
            "alter table in_order modify a integer after b",
        ],
        Kind::Sqlite => &[
            "create index extra on person (weight)",
            "drop table with_default",
            "create table with_default (id integer primary key, a integer default 2)",
            "drop table in_order",
            "create table in_order (id integer primary key, b integer, a integer)",
        ],
    };
    for sql in changes {
        database.sql(sql).await;
    }
    let (code, said) = verify(&cluster, &["--rows", "50"]).await;
    assert_eq!(code, Some(DIFFER), "{said:#}");
    let differing: Vec<String> = tables(&said).into_iter().filter(|(_, equal)| !equal).map(|(name, _)| name).collect();
    assert_eq!(differing, ["(schema)"], "rows are the same: {said:#}");
    let schema = &said["differences"][0];
    assert_eq!((&schema["table"], &schema["key"]), (&json!("(schema)"), &json!(["object"])), "{said:#}");
    let unlike = schema["rows"].as_array().expect("a list of objects");
    for (word, is_new) in [("extra", true), ("with_default", false), ("in_order", false)] {
        let of_it = |row: &&Value| row["n2"][0]["object"].as_str().is_some_and(|name| name.contains(word));
        let found = unlike.iter().find(of_it).unwrap_or_else(|| panic!("{word} is not shown: {said:#}"));
        assert_eq!(found["n1"], found["n3"], "{found:#}");
        assert_ne!(found["n1"], found["n2"], "{found:#}");
        assert_eq!(found["n1"] == json!([]), is_new, "{word}: each node's own is shown: {found:#}");
    }
    let stopped = |beat: &Heartbeat| matches!(&beat.state, NodeState::Stopped { code, .. } if code == "diverged");
    cluster.heartbeats_until(|beats| beats.get("n2").is_some_and(stopped)).await;
}

/// What n2 says of checks from an offset of NODES on, until it is as wanted.
async fn reported(cluster: &Cluster, from: Offset, wanted: impl Fn(&CheckReport) -> bool) -> CheckReport {
    let mut reader = cluster.log().read(Topic::Nodes, 0, from).await.expect("NODES can be read");
    let said = async {
        loop {
            let record = reader.next().await.expect("NODES can be read");
            if let Ok(report) = serde_json::from_slice::<CheckReport>(record.value.as_deref().unwrap_or_default())
                && report.node_id.as_str() == "n2"
                && wanted(&report)
            {
                return report;
            }
        }
    };
    tokio::time::timeout(PATIENCE, said).await.expect("n2 says so")
}

async fn end_of_nodes(cluster: &Cluster) -> Offset {
    cluster.log().range(Topic::Nodes, 0).await.expect("NODES has a range").end
}

/// Keeps everyone from the table `pair` of this database, so that no check of it ends; SQLite has no such sessions.
async fn lock_pair(database: &Database) {
    let (text, sleeps) = match database {
        Database::Postgres(..) => {
            ("begin; lock table pair in access exclusive mode; select pg_sleep(600)", PG_SLEEPERS)
        }
        Database::MariaDb(..) => ("lock tables pair write; do sleep(600)", MARIADB_SLEEPERS),
        Database::Sqlite(..) => return,
    };
    let its = database.clone();
    // It ends with an error, when it is ended.
    tokio::spawn(async move {
        match its {
            Database::Postgres(server, name) => server.sql(&name, text).await,
            Database::MariaDb(server, name) => server.sql(&name, text).await,
            Database::Sqlite(..) => Ok(String::new()),
        }
    });
    until("the session holds its lock", async || !database.sql(sleeps).await.trim().is_empty()).await;
}

/// Ends what [`lock_pair`] began.
async fn unlock_pair(database: &Database) {
    match database {
        Database::Postgres(..) => {
            database.sql(&format!("select pg_terminate_backend(pid) from ({PG_SLEEPERS}) s")).await;
        }
        Database::MariaDb(..) => {
            let sleeper = database.sql(MARIADB_SLEEPERS).await;
            database.sql(&format!("kill {}", sleeper.trim())).await;
        }
        Database::Sqlite(..) => {}
    }
}

const PG_SLEEPERS: &str =
    "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
const MARIADB_SLEEPERS: &str =
    "select id from information_schema.processlist where db = database() and info like 'do sleep%'";

/// The change is executed on a node whose check is under way. The check is superseded there, is made again behind the change, and what it finds then
/// is right.
pub async fn a_schema_change_goes_before_a_check_which_is_repeated(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    fill(&cluster, kind).await;
    let client = cluster.client().await;
    let (database, from) = (cluster.nodes[1].database(), end_of_nodes(&cluster).await);
    lock_pair(database).await;
    let changing = async {
        let begun = reported(&cluster, from, |_| true).await;
        // On all nodes, also on the one whose check cannot end.
        let change = client.execute("alter table keyless add more integer").all().await.expect("the change goes first");
        let change = change.offset.expect("a write has an offset");
        if kind != Kind::Sqlite {
            reported(&cluster, from, |report| report.check == begun.check && report.progress == Progress::Superseded)
                .await;
        }
        unlock_pair(database).await;
        (begun.check, change)
    };
    let ((code, said), (begun, change)) = tokio::join!(verify(&cluster, &[]), changing);
    assert_eq!((code, &said["equal"]), (Some(0), &json!(true)), "{said:#}");
    assert!(tables(&said).values().all(|equal| *equal), "{said:#}");
    let check: CheckMark = serde_json::from_value(said["check"].clone()).expect("a check");
    assert_eq!(check.id, begun.id);
    match kind {
        // A snapshot of SQLite holds no change up.
        Kind::Sqlite => assert_eq!((check.attempt, check.offset < change), (0, true), "{said:#}"),
        _ => assert!(check.attempt > 0 && check.offset > change, "{change}: {said:#}"),
    }

    // Behind it a changed row is found as ever.
    database.sql("update keyless set more = 7").await;
    let (code, said) = verify(&cluster, &[]).await;
    assert_eq!((code, tables(&said).get("keyless")), (Some(DIFFER), Some(&false)), "{said:#}");
}

/// Nothing can keep a check of SQLite from ending; kluster-admin's own tests have this case.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_a_newer_one_supersedes_is_named_and_not_equal_on_postgres() {
    require!(Kafka, Postgres);
    a_check_that_a_newer_one_supersedes_is_named_and_not_equal(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_a_newer_one_supersedes_is_named_and_not_equal_on_mariadb() {
    require!(Kafka, MariaDb);
    a_check_that_a_newer_one_supersedes_is_named_and_not_equal(Kind::MariaDb).await;
}

async fn a_check_that_a_newer_one_supersedes_is_named_and_not_equal(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    fill(&cluster, kind).await;
    let (database, from) = (cluster.nodes[1].database(), end_of_nodes(&cluster).await);
    lock_pair(database).await;
    let newer = async {
        let older = reported(&cluster, from, |_| true).await;
        let releasing = async {
            reported(&cluster, from, |report| report.check.number > older.check.number).await;
            unlock_pair(database).await;
        };
        tokio::join!(verify(&cluster, &[]), releasing).0
    };
    let ((older_code, older), (newer_code, newer)) = tokio::join!(verify(&cluster, &[]), newer);
    assert_eq!((newer_code, &newer["equal"]), (Some(0), &json!(true)), "{newer:#}");
    assert_eq!((older_code, &older["equal"]), (Some(OPEN), &json!(false)), "{older:#}");
    assert_eq!(older["supersededBy"]["id"], newer["check"]["id"], "{older:#}");
    let n2 = older["nodes"]["n2"]["said"].as_str().expect("something is said of n2");
    assert!(n2.starts_with("superseded by check"), "{older:#}");
    let tables = older["tables"].as_array().expect("a list of tables");
    assert!(tables.iter().all(|table| table["equal"].is_null()), "{older:#}");
}

async fn errors(cluster: &Cluster) -> Vec<SystemError> {
    let range = cluster.log().range(Topic::Errors, 0).await.expect("ERRORS has a range");
    let mut reader = cluster.log().read(Topic::Errors, 0, range.start).await.expect("ERRORS can be read");
    let mut errors = Vec::new();
    let mut next: Offset = range.start;
    while next < range.end {
        let record = reader.next().await.expect("ERRORS can be read");
        next = record.offset.next();
        errors.push(serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("a report"));
    }
    errors
}

pub async fn the_nodes_check_by_themselves_and_who_differs_stays_stopped(kind: Kind) {
    let mut cluster = Cluster::without_nodes().await;
    for _ in 0..3 {
        let database = Database::create(kind).await;
        cluster.add_with(database, &["--check-offsets", "40"]);
    }
    cluster.ready().await;
    let client = cluster.client().await;
    client.execute("create table t(id integer primary key, v integer)").all().await.expect("a table");
    client.execute("insert into t values (1, 1)").all().await.expect("a row");
    cluster.nodes[2].database().sql("update t set v = 2 where id = 1").await;
    let stopped = |beat: &Heartbeat| matches!(&beat.state, NodeState::Stopped { code, .. } if code == "diverged");
    let writing = async {
        // Enough for one check, and too few for a second, in which the third might have no part.
        for n in 2..50 {
            // The third may be gone by now.
            client.execute(format!("insert into t values ({n}, {n})")).quorum().await.expect("a row");
        }
    };
    let found = cluster.heartbeats_until(|beats| beats.get("n3").is_some_and(stopped));
    tokio::join!(writing, found);
    let (code, last) = verify(&cluster, &["--last"]).await;
    assert_eq!(code, Some(DIFFER), "{last:#}");
    assert!(last["check"]["id"].as_str().is_some_and(|id| id.starts_with("periodic-")), "{last:#}");
    let values: Vec<&Value> =
        ["n1", "n3"].iter().map(|node| &last["differences"][0]["rows"][0][node][0]["v"]).collect();
    assert_eq!(values, ["1", "2"], "{last:#}");
    // Started again on the same database it does not serve.
    cluster.nodes[2].signal("TERM");
    cluster.nodes[2].ended().await;
    let end = cluster.log().range(Topic::Nodes, 0).await.expect("NODES has a range").end;
    cluster.nodes[2].restart(&[]);
    let mut reader = cluster.log().read(Topic::Nodes, 0, end).await.expect("NODES can be read");
    let first = async {
        loop {
            let record = reader.next().await.expect("NODES can be read");
            if let Ok(beat) = serde_json::from_slice::<Heartbeat>(record.value.as_deref().unwrap_or_default())
                && beat.node_id.as_str() == "n3"
            {
                return beat;
            }
        }
    };
    let beat = tokio::time::timeout(PATIENCE, first).await.expect("it says something");
    assert!(stopped(&beat), "{beat:?}");
}

pub async fn under_load_and_schema_changes_nothing_is_found_unlike(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    fill(&cluster, kind).await;
    let client = cluster.client().await;
    let writing = async {
        for n in 0.. {
            let sql = match n % 10 {
                // A check gives way to each change of the schema: changes without an end would end none.
                0 if n < 200 => format!("alter table keyless add more{n} integer"),
                even if even % 2 == 0 => format!("update person set weight = {n}.7 where id = {}", n % 20),
                _ => format!("insert into keyless (word, number) values ('w', {n})"),
            };
            client.execute(&sql).all().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    };
    let checking = async {
        let mut offsets = Vec::new();
        for _ in 0..3 {
            let before = cluster.log().range(Topic::All, 0).await.expect("ALL has a range").end;
            let (code, said) = verify(&cluster, &[]).await;
            assert_eq!((code, &said["equal"]), (Some(0), &json!(true)), "{said:#}");
            let offset = said["check"]["offset"].as_u64().expect("one offset");
            assert!(offset >= before.get(), "{offset} {before}");
            // Whatever was applied meanwhile is no part of it.
            let end = cluster.log().range(Topic::All, 0).await.expect("ALL has a range").end;
            assert!(end.get() > offset + 1, "nothing was written meanwhile");
            offsets.push(offset);
        }
        offsets
    };
    let offsets = tokio::select! {
        () = writing => unreachable!("it writes for ever"),
        offsets = checking => offsets,
    };
    assert!(offsets.is_sorted(), "{offsets:?}");
    cluster.same_everywhere().await;
}
