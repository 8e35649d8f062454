//! One-shot: texts in, rows out, an exit code that says how it went.

use super::{Said, data, say, say_with};
use kluster_test_servers::require;
use kluster_tests::cluster::{Cluster, Kind};
use serde_json::Value;

const TABLE: &str = "create table person (id integer primary key, name text)";

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_sent_in_order_from_wherever_they_come() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 3).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.sql");
    std::fs::write(
        &file,
        "-- a shop\ninsert into person values (3, 'it''s; ok');\nselect count(*) as n from person;\n",
    )
    .unwrap();
    let file = file.display().to_string();
    let rows = data(
        &cluster,
        &[TABLE, "-c", "insert into person values (1, 'Jan')", "-c", "insert into person values (2, '')", "-f", &file],
    );
    assert_eq!(rows, " n\n───\n 3\n");
    let rows = say_with(&cluster, &[], "select 1 as a; select 2 as b\n");
    assert_eq!((rows.code, rows.data.as_str()), (Some(0), " a\n───\n 1\n b\n───\n 2\n"));
    let names = data(&cluster, &["select name, null as missing from person order by id"]);
    assert_eq!(
        names,
        " name     │ missing\n──────────┼─────────\n Jan      │ NULL\n          │ NULL\n it's; ok │ NULL\n"
    );
    cluster.same_everywhere().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_are_those_documented() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 3).await;
    data(&cluster, &[TABLE, "-c", "insert into person values (1, 'Jan, \"J\"'), (2, null), (3, '')"]);
    let csv = data(&cluster, &["--output", "csv", "select * from person order by id"]);
    assert_eq!(csv, "id,name\r\n1,\"Jan, \"\"J\"\"\"\r\n2,\r\n3,\"\"\r\n");
    let said = say(
        &cluster,
        &[
            "--output",
            "json",
            "--continue",
            "select * from person where id = 2; insert into person values (4, 'x') returning id; selct 1; select 9 as n",
        ],
    );
    let documents: Vec<Value> = said.data.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((said.code, documents.len()), (Some(5), 4), "{said:?}");
    assert_eq!(documents[0]["result"], serde_json::json!([{"id": 2, "name": null}]));
    assert!(documents[0]["messageId"].is_null() && documents[0]["offset"].is_u64(), "a read: {}", documents[0]);
    assert_eq!(documents[1]["result"], serde_json::json!([{"id": 4}]));
    assert!(
        documents[1]["messageId"].is_string() && documents[1]["nodeIds"].as_array().unwrap().len() >= 2,
        "a write: {}",
        documents[1]
    );
    assert_eq!((&documents[1]["rowsAffected"], &documents[1]["voters"]), (&1.into(), &3.into()));
    assert_eq!((&documents[2]["error"]["code"], &documents[2]["statement"]), (&"syntax_error".into(), &3.into()));
    assert_eq!(documents[3]["result"], serde_json::json!([{"n": 9}]));
    assert!(said.notes.contains("1 of 4 statements failed"), "{}", said.notes);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_error_ends_it_and_says_where() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 3).await;
    data(&cluster, &[TABLE]);
    let script = "insert into person values (1, 'Jan');\ninsert into person\n  values (2, nope);\ninsert into person values (3, 'Eva');";
    let Said { code, notes, .. } = say_with(&cluster, &[], script);
    assert_eq!(code, Some(5), "{notes}");
    assert!(
        notes.contains("refused as undefined_column by n") && notes.contains("  line 3:   values (2, nope)\n"),
        "{notes}"
    );
    let caret = notes.lines().nth(2).unwrap().find('^').unwrap();
    assert_eq!(&notes.lines().nth(1).unwrap()[caret..caret + 4], "nope", "{notes}");
    assert_eq!(data(&cluster, &["--output", "csv", "select id from person"]), "id\r\n1\r\n");
    let rule = say(&cluster, &["insert into person values (random(), 'x')"]);
    assert_eq!(rule.code, Some(5));
    assert!(
        rule.notes.contains("refused as randomness, nothing was sent") && rule.notes.contains("hint: "),
        "{rule:?}"
    );
    let unclosed = say(&cluster, &["insert into person values (5, 'x'); select 'a"]);
    assert_eq!((unclosed.code, unclosed.notes.contains("does not end")), (Some(5), true), "{unclosed:?}");
    assert_eq!(
        data(&cluster, &["--output", "csv", "select id from person where id = 5"]),
        "id\r\n",
        "nothing of it was sent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_one_request_done_as_a_whole_or_not_at_all() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 3).await;
    data(&cluster, &[TABLE]);
    let done = data(
        &cluster,
        &["-o", "json", "begin; insert into person values (1, 'Jan'); select count(*) as n from person; commit;"],
    );
    let documents: Vec<Value> = done.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents.len(), 2, "{done}");
    assert_eq!(documents[1]["result"], serde_json::json!([{"n": 1}]), "the SELECT sees what stands before it");
    assert_eq!(documents[0]["messageId"], documents[1]["messageId"], "one request");

    let refused = say(
        &cluster,
        &["begin; insert into person values (2, 'Eva'); insert into person values (1, 'again'); commit;"],
    );
    assert_eq!(refused.code, Some(5));
    assert!(refused.notes.contains("statement 2 of the transaction; nothing of it took effect"), "{refused:?}");
    let broken = say(&cluster, &["--continue", "begin; insert into person values (2, 'Eva'); savepoint a; commit;"]);
    assert!(broken.code == Some(5) && broken.notes.contains("so nothing of it was sent"), "{broken:?}");
    let left = say(&cluster, &["begin; insert into person values (2, 'Eva')"]);
    assert!(left.code == Some(5) && left.notes.contains("begin without commit: 1 statement gathered"), "{left:?}");
    let dropped =
        say(&cluster, &["begin; insert into person values (2, 'Eva'); rollback; select count(*) as n from person"]);
    assert_eq!((dropped.code, dropped.data.as_str()), (Some(0), " n\n───\n 1\n"), "{dropped:?}");
    cluster.same_everywhere().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_are_those_asked_for() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 3).await;
    data(&cluster, &[TABLE]);
    let status = |arguments: &[&str]| {
        let said = say(&cluster, &[&["--timing"], arguments].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        said.notes
    };
    assert!(status(&["--ack", "all", "insert into person values (1, 'a')"]).contains("1 row · offset "));
    let all = status(&["--ack", "all", "insert into person values (2, 'a')"]);
    assert!(all.contains(" · 3 of 3 nodes (all) · ") && all.contains(" ms"), "{all}");
    assert!(status(&["--ack", "2", "delete from person where id = 2"]).contains(" · 2 of 3 nodes (2) · "));
    assert!(status(&["--ack", "logged", "insert into person values (3, 'a')"]).contains("logged at offset "));
    for level in ["eventual", "session", "strong"] {
        let read = status(&["--read", level, "select count(*) from person"]);
        assert!(read.contains(" · as of offset ") && read.contains(&format!(" ({level}) · ")), "{read}");
    }
    let strong = data(&cluster, &["--read", "strong", "-o", "csv", "select count(*) as n from person"]);
    assert_eq!(strong, "n\r\n2\r\n", "a strong read sees what was only logged");
    let before = cluster.caught_up().await;
    status(&["--read", "ordered", "select count(*) from person"]);
    assert!(cluster.caught_up().await > before, "an ordered read lies in ALL");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_is_told_apart() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 1).await;
    for (arguments, code, words) in [
        (vec!["--ack", "most", "select 1"], 2, "none of first, quorum, all, logged"),
        (vec!["-f", "/nowhere/a.sql"], 2, "/nowhere/a.sql"),
        (vec!["-c", "\\nodse"], 5, "did you mean \\nodes?"),
        (vec!["insert into t values ($1)"], 5, "no param has a value"),
        (vec!["commit"], 5, "no transaction is being gathered"),
        (vec!["-c", "\\d nothing"], 5, "there is no table or view nothing"),
        (vec!["--retry", "nonsense", "select 1"], 2, "is no ticket"),
        (vec!["--retry", "c/m@1", "insert into t values (1); insert into t values (2)"], 2, "asks one request again"),
    ] {
        let said = say(&cluster, &arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        assert!(said.notes.contains(words), "{arguments:?}: {}", said.notes);
    }
}
