//! Tests of verify: what it writes to the log, waits for, shows, and how it ends.

use super::*;
use crate::fixture::{Cluster, Written, node};
use crate::output::Format;
use kluster_log::NewRecord;
use kluster_protocol::check::{CheckReport, CheckedRow, Narrowed, Progress, Sum, report_key};
use kluster_protocol::{CheckMark, Control, Kind, header};
use std::collections::{BTreeMap, BTreeSet};

fn verify() -> Verify {
    Verify { rows: 20, timeout: 30, last: false }
}

async fn cluster() -> Cluster {
    let cluster = Cluster::new();
    for name in ["n1", "n2", "n3"] {
        cluster.beat(&node(name).applied(1)).await;
    }
    cluster
}

/// A report of `node` whose one table has these rows, all listed.
fn report(node: &str, id: &str, rows: &[(&str, &str)]) -> CheckReport {
    let mut sum = Sum::default();
    let listed: Vec<CheckedRow> = rows
        .iter()
        .map(|(key, value)| {
            let hash = (key.len() * 1000 + value.len() * 7) as u64 + u64::from(key.as_bytes()[0]);
            sum.add(hash as i64);
            CheckedRow { hash, values: vec![Some((*key).to_owned()), Some((*value).to_owned())] }
        })
        .collect();
    let narrowed = Narrowed {
        listed: BTreeSet::from([String::new()]),
        columns: vec!["id".into(), "name".into()],
        key: vec![0],
        rows: listed,
        ..Narrowed::default()
    };
    CheckReport {
        node_id: node.into(),
        topic_id: None,
        dbms: "SQLite".into(),
        form: 0,
        check: CheckMark { number: 1, id: id.to_owned(), ..CheckMark::default() },
        progress: Progress::Done,
        tables: BTreeMap::from([("person".to_owned(), sum)]),
        skipped: BTreeMap::new(),
        narrowed: BTreeMap::from([("person".to_owned(), narrowed)]),
        differs: false,
    }
}

async fn say(cluster: &Cluster, report: &CheckReport) {
    let record = NewRecord::of(serde_json::to_vec(report).unwrap()).keyed(report_key(&report.node_id));
    cluster.append(Topic::Nodes, record.header(header::KIND, Kind::CHECK)).await;
}

/// The name of the check that the command wrote to ALL.
async fn asked(cluster: &Cluster) -> String {
    loop {
        if let Some(record) = cluster.memory.records(Topic::All, 0).last() {
            match serde_json::from_slice(record.value.as_deref().unwrap()).unwrap() {
                Control::Check { id, replaces: None, attempt: 0 } => return id,
                other => panic!("{other:?}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn equal_tables_end_well() {
    let cluster = cluster().await;
    let mut written = Written::default();
    let (stop, mut output) = (CancellationToken::new(), written.output(Format::Json));
    let verify = verify();
    let (ended, ()) = tokio::join!(verify.run(&cluster.log, &cluster.clock, &mut output, &stop), async {
        let id = asked(&cluster).await;
        for name in ["n1", "n2", "n3"] {
            say(&cluster, &report(name, &id, &[("1", "Jan"), ("2", "Ann")])).await;
        }
    });
    ended.unwrap();
    let said = written.json();
    assert_eq!((&said["equal"], &said["tables"][0]["equal"]), (&true.into(), &true.into()), "{said}");
    assert_eq!(said["tables"][0]["rows"]["n2"], 2);
}

#[tokio::test(start_paused = true)]
async fn rows_that_differ_are_shown_side_by_side() {
    let cluster = cluster().await;
    let mut written = Written::default();
    let (stop, mut output) = (CancellationToken::new(), written.output(Format::Table));
    let verify = verify();
    let (ended, ()) = tokio::join!(verify.run(&cluster.log, &cluster.clock, &mut output, &stop), async {
        let id = asked(&cluster).await;
        say(&cluster, &report("n1", &id, &[("1", "Jan"), ("2", "Ann")])).await;
        say(&cluster, &report("n2", &id, &[("1", "Jan"), ("2", "Anna")])).await;
        say(&cluster, &report("n3", &id, &[("1", "Jan"), ("2", "Ann")])).await;
    });
    let error = ended.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("person"), "{error}");
    let said = written.data();
    assert!(said.contains("person: 1 rows differ"), "{said}");
    assert!(said.contains("n1    2   Ann\nn2    2   Anna\nn3    2   Ann") && !said.contains("Jan"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_voter_that_is_gone_leaves_the_outcome_open() {
    let cluster = Cluster::new();
    cluster.beat(&node("n3").applied(1)).await;
    cluster.pass(10_000);
    cluster.beat(&node("n1").applied(1)).await;
    cluster.beat(&node("n2").applied(1)).await;
    let mut written = Written::default();
    let (stop, mut output) = (CancellationToken::new(), written.output(Format::Table));
    let verify = verify();
    let (ended, ()) = tokio::join!(verify.run(&cluster.log, &cluster.clock, &mut output, &stop), async {
        let id = asked(&cluster).await;
        for name in ["n1", "n2"] {
            say(&cluster, &report(name, &id, &[("1", "Jan")])).await;
        }
    });
    let error = ended.unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().starts_with("n3 has not done")), (6, true), "{error}");
    assert!(written.data().contains("n3: has not done it"), "{}", written.data());
}

#[tokio::test(start_paused = true)]
async fn the_last_check_is_shown_without_asking_for_one() {
    let cluster = cluster().await;
    say(&cluster, &report("n1", "periodic-1", &[("1", "Jan")])).await;
    say(&cluster, &report("n2", "periodic-1", &[("1", "Joe")])).await;
    say(&cluster, &report("n3", "periodic-1", &[("1", "Janet")])).await;
    let mut written = Written::default();
    let (stop, mut output) = (CancellationToken::new(), written.output(Format::Json));
    let verify = Verify { last: true, ..verify() };
    let ended = verify.run(&cluster.log, &cluster.clock, &mut output, &stop).await;
    assert_eq!(ended.unwrap_err().exit_code(), 3);
    let said = written.json();
    assert_eq!(said["differences"][0]["rows"][0]["n3"][0]["name"], "Janet", "{said}");
    assert!(cluster.memory.records(Topic::All, 0).is_empty());
}

/// A check is named as superseded, and neither tables nor voters are called equal.
#[tokio::test(start_paused = true)]
async fn a_newer_check_supersedes_one_that_is_not_done() {
    let cluster = cluster().await;
    let mut written = Written::default();
    let (stop, mut output) = (CancellationToken::new(), written.output(Format::Json));
    let verify = verify();
    let (ended, ()) = tokio::join!(verify.run(&cluster.log, &cluster.clock, &mut output, &stop), async {
        let id = asked(&cluster).await;
        say(&cluster, &report("n1", &id, &[("1", "Jan")])).await;
        let mut newer = report("n2", "newer", &[("1", "Jan")]);
        (newer.check.number, newer.check.offset) = (2, Offset::new(7));
        say(&cluster, &newer).await;
    });
    let error = ended.unwrap_err();
    assert_eq!(error.exit_code(), 6, "{error}");
    assert!(
        error.to_string().starts_with("n2, n3 has not done the check, which is superseded by check newer at offset 7"),
        "{error}"
    );
    let said = written.json();
    assert_eq!((&said["supersededBy"]["id"], &said["equal"]), (&"newer".into(), &false.into()), "{said}");
    assert_eq!(said["nodes"]["n2"]["said"], "superseded by check newer at offset 7", "{said}");
    assert_eq!(said["tables"][0]["notCompared"], "n2, n3 has not done the check", "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_gave_way_to_the_schema_is_superseded_and_not_equal() {
    let cluster = cluster().await;
    let mut written = Written::default();
    let (stop, mut output) = (CancellationToken::new(), written.output(Format::Json));
    let verify = verify();
    let (ended, ()) = tokio::join!(verify.run(&cluster.log, &cluster.clock, &mut output, &stop), async {
        let id = asked(&cluster).await;
        for name in ["n1", "n2"] {
            say(&cluster, &report(name, &id, &[("1", "Jan")])).await;
        }
        say(&cluster, &CheckReport { progress: Progress::Superseded, ..report("n3", &id, &[]) }).await;
    });
    assert_eq!(ended.unwrap_err().exit_code(), 6);
    let said = written.json();
    assert_eq!(said["equal"], false, "{said}");
    assert!(
        said["nodes"]["n3"]["said"].as_str().is_some_and(|said| said.starts_with("superseded by a change")),
        "{said}"
    );
    assert!(said["tables"][0]["equal"].is_null(), "{said}");
}

#[tokio::test(start_paused = true)]
async fn sums_of_unlike_forms_are_no_difference_and_not_equal() {
    let cluster = cluster().await;
    for name in ["n1", "n2"] {
        say(&cluster, &report(name, "periodic-1", &[("1", "Jan")])).await;
    }
    say(&cluster, &CheckReport { form: 1, ..report("n3", "periodic-1", &[("1", "Janet")]) }).await;
    let mut written = Written::default();
    let (stop, mut output) = (CancellationToken::new(), written.output(Format::Json));
    let verify = Verify { last: true, ..verify() };
    let ended = verify.run(&cluster.log, &cluster.clock, &mut output, &stop).await;
    assert_eq!(ended.unwrap_err().exit_code(), 6);
    let said = written.json();
    assert_eq!((&said["equal"], said["differences"].as_array().map(Vec::len)), (&false.into(), Some(0)), "{said}");
}
