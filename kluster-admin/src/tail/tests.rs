use super::*;
use crate::fixture::{Cluster, Written, node};
use crate::output::Format;
use kluster_log::NewRecord;
use kluster_protocol::{Kind, header};
use std::time::Duration;

fn tail(what: &[What], from: From) -> Tail {
    Tail { what: what.to_vec(), from, count: None, until_end: true }
}

async fn run(cluster: &Cluster, tail: &Tail, format: Format) -> Written {
    let mut written = Written::default();
    tail.run(&cluster.log, &mut written.output(format), &CancellationToken::new()).await.unwrap();
    written
}

/// Two requests with their answers, a control record, a record that is no request, a read and an error; a millisecond apart.
async fn cluster() -> Cluster {
    let cluster = Cluster::new();
    let all = |json: &str| NewRecord::of(json.to_owned());
    let records = [
        (Topic::All, all(r#"{"control":"join","nodeId":"n1","role":"voter","replaces":0}"#).header(header::KIND, Kind::CONTROL)),
        (Topic::All, all(r#"{"messageId":"r1","clientId":"c1","sqlString":"insert into t\n  values (1)"}"#)),
        (
            Topic::Responses,
            all(r#"{"messageId":"a1","nodeId":"n1","requestId":"r1","requestTopic":"ALL","resultCode":"OK","result":[],"rowsAffected":1,"offset":1,"chain":"00","members":{"version":1,"voter":true,"voters":1}}"#)
                .keyed("c1"),
        ),
        (Topic::All, all("hello")),
        (Topic::One, all(r#"{"messageId":"r2","clientId":"c1","statements":[{"sqlString":"select 1"},{"sqlString":"select 2"}]}"#)),
        (
            Topic::Errors,
            all(r#"{"nodeId":"n1","class":"unknown","offset":3,"requestId":"r9","code":"XX000","message":"what now","sinceMs":1}"#),
        ),
    ];
    for (topic, record) in records {
        cluster.append(topic, record).await;
        cluster.pass(1);
    }
    cluster.beat(&node("n1").applied(3)).await;
    cluster
}

#[tokio::test(start_paused = true)]
async fn the_past_is_told_in_the_order_of_its_times() {
    let written = run(&cluster().await, &tail(&[], From::Beginning), Format::Table).await;
    let expected = "\
2026-03-04T05:06:07.000Z  ALL               0  control  –  n1 joins as voter, if membership is at version 0
2026-03-04T05:06:07.001Z  ALL               1  c1  r1  insert into t values (1)
2026-03-04T05:06:07.002Z  RESPONSES/3       0  n1  r1  OK, offset 1, 1 row
2026-03-04T05:06:07.003Z  ALL               2  –  –  no request: the record is no request: expected value at line 1 column 1
2026-03-04T05:06:07.004Z  ONE/1             0  c1  r2  2 statements: select 1
2026-03-04T05:06:07.005Z  ERRORS            0  n1  r9  unknown at offset 3 (XX000): what now
";
    assert_eq!(written.data(), expected);
}

#[tokio::test(start_paused = true)]
async fn from_an_offset_only_what_is_about_it() {
    let cluster = cluster().await;
    let written = run(&cluster, &tail(&[], From::Offset(Offset::new(2))), Format::Table).await;
    let topics: Vec<_> =
        written.data().lines().map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect();
    assert_eq!(topics, ["ALL", "ERRORS"]);
    let written = run(&cluster, &tail(&[What::Nodes], From::Beginning), Format::Table).await;
    assert!(written.data().contains("n1  n1-8a5c1  ready, applied 3, chain "), "{}", written.data());
}

#[tokio::test(start_paused = true)]
async fn json_lines_hold_the_record() {
    let written = run(&cluster().await, &tail(&[What::Requests], From::Beginning), Format::Json).await;
    let lines: Vec<serde_json::Value> =
        written.data().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["headers"]["kluster-kind"], "control");
    assert_eq!(lines[1]["value"]["sqlString"], "insert into t\n  values (1)");
    assert_eq!((&lines[2]["value"], &lines[2]["topic"]), (&"hello".into(), &"ALL".into()));
}

#[tokio::test(start_paused = true)]
async fn json_lines_hold_a_result_as_the_node_wrote_it() {
    let cluster = Cluster::new();
    let answer = |json: &str| {
        format!(
            r#"{{"messageId":"a","nodeId":"n1","requestId":"r","requestTopic":"ALL","resultCode":"OK","result":[{{"js":{json}}}],"members":{{"version":0,"voter":false,"voters":0}}}}"#
        )
    };
    let json =
        format!(r#"[1e400, 123456789012345678901234567890, {{"a":1,"a":2}}, {}{}]"#, "[".repeat(500), "]".repeat(500));
    cluster.append(Topic::Responses, NewRecord::of(answer(&json.replace(' ', "\r\n")))).await;
    let written = run(&cluster, &tail(&[What::Responses], From::Beginning), Format::Json).await;
    assert_eq!(written.data().lines().count(), 1);
    assert!(written.data().contains(&answer(&json.replace(' ', "  "))), "{}", written.data());
    let written = run(&cluster, &tail(&[What::Responses], From::Beginning), Format::Table).await;
    assert!(written.data().contains("n1  r  OK"), "{}", written.data());
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_followed_until_the_count() {
    let cluster = cluster().await;
    let mut written = Written::default();
    let tail = Tail { count: Some(2), until_end: false, ..tail(&[], From::End) };
    let (mut output, stop) = (written.output(Format::Table), CancellationToken::new());
    let (ended, ()) = tokio::join!(tail.run(&cluster.log, &mut output, &stop), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.fill(1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.append(Topic::Responses, NewRecord::of("?")).await;
    });
    ended.unwrap();
    assert_eq!(written.data().lines().count(), 2, "{}", written.data());
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_told_to() {
    let cluster = Cluster::new();
    let (mut written, stop) = (Written::default(), CancellationToken::new());
    stop.cancel();
    let tail = Tail { until_end: false, ..tail(&[], From::End) };
    tail.run(&cluster.log, &mut written.output(Format::Table), &stop).await.unwrap();
}

#[test]
fn where_to_begin_is_read() {
    assert_eq!(parse_from("17"), Ok(From::Offset(Offset::new(17))));
    assert!(parse_from("start").unwrap_err().contains("neither beginning, end nor an offset"));
}
