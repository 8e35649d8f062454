//! Kafka's own tools talk to `kluster up`: a line typed into a console producer is a request, and its answers are read by a console consumer.

use super::kluster::{Running, up};
use kluster_test_servers::{kafka_tool, require};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

const NODES: [&str; 3] = ["n1", "n2", "n3"];
const LINES: [&str; 3] = [
    r#"{"messageId":"1","clientId":"me","sqlString":"create table person(id integer primary key, name varchar(40))"}"#,
    r#"{"messageId":"2","clientId":"me","sqlString":"insert into person values (1, 'Jan')"}"#,
    r#"{"messageId":"3","clientId":"me","sqlString":"select name from person where id = $1","params":[1]}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn kafka_console_producer_and_consumer() {
    require!(KafkaTools);
    let dir = tempfile::tempdir().unwrap();
    let running = up(dir.path(), 0, &[]).await;
    let tool = |name: &str, arguments: &[&str]| kafka_tool(name, &running.bootstrap, arguments).unwrap();
    typed(tool("kafka-console-producer", &["--topic", "ALL"]));
    let wanted = (LINES.len() * NODES.len()).to_string();
    let flags = ["--topic", "RESPONSES", "--from-beginning", "--max-messages", &wanted, "--timeout-ms", "60000"];
    check(&read(tool("kafka-console-consumer", &flags)), &running);
    running.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat() {
    require!(Program("kcat"));
    let dir = tempfile::tempdir().unwrap();
    let running = up(dir.path(), 0, &[]).await;
    let kcat = |flags: &[&str]| {
        let mut command = Command::new("kcat");
        command.args(["-b", &running.bootstrap]).args(flags);
        command
    };
    typed(kcat(&["-P", "-t", "ALL"]));
    let wanted = (LINES.len() * NODES.len()).to_string();
    check(&read(kcat(&["-C", "-t", "RESPONSES", "-o", "beginning", "-c", &wanted, "-q"])), &running);
    running.drained().await;
}

/// Types the lines into a program and waits for its end.
fn typed(mut program: Command) {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in LINES {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

/// What a program prints, a JSON value on each line.
fn read(mut program: Command) -> Vec<Value> {
    let output = program.output().unwrap();
    let (said, trouble) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{trouble}");
    said.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every node has answered each line, and alike.
fn check(responses: &[Value], running: &Running) {
    let answers: BTreeSet<String> = responses
        .iter()
        .map(|response| {
            let field = |name: &str| response[name].as_str().unwrap_or_default().to_owned();
            format!("{} {} {} {}", field("requestId"), field("nodeId"), field("resultCode"), response["result"])
        })
        .collect();
    for node in NODES {
        for (id, rows) in [("1", "[]"), ("2", "[]"), ("3", r#"[{"name":"Jan"}]"#)] {
            let expected = format!("{id} {node} OK {rows}");
            assert!(answers.contains(&expected), "{expected} is missing: {answers:#?}\n{}", running.words());
        }
    }
    assert_eq!(answers.len(), LINES.len() * NODES.len(), "{answers:#?}");
}
