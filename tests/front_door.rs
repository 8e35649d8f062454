//! Kafka's own tools are a front door: a line typed into a console producer is a request, and its answers are read by a console consumer.

use kluster_test_servers::{KafkaServer, require};
use kluster_tests::cluster::{Cluster, Kind};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

/// How many nodes answer.
const NODES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn kafka_console_producer_and_consumer() {
    require!(Kafka, KafkaTools);
    let cluster = Cluster::start(Kind::Sqlite, NODES).await;
    let (all, responses) = topics(&cluster);
    let kafka = cluster.kafka();
    typed(tool(kafka, "kafka-console-producer", &["--topic", &all]), &lines());
    let wanted = (lines().len() * NODES).to_string();
    let consumer = ["--topic", &responses, "--from-beginning", "--max-messages", &wanted, "--timeout-ms", "60000"];
    check(&read(tool(kafka, "kafka-console-consumer", &consumer)));
    cluster.same_everywhere().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat() {
    require!(Kafka, Program("kcat"));
    let cluster = Cluster::start(Kind::Sqlite, NODES).await;
    let (all, responses) = topics(&cluster);
    let broker = cluster.kafka().bootstrap();
    let kcat = |flags: &[&str]| {
        let mut command = Command::new("kcat");
        command.args(["-b", broker]).args(flags);
        command
    };
    typed(kcat(&["-P", "-t", &all]), &lines());
    let wanted = (lines().len() * NODES).to_string();
    check(&read(kcat(&["-C", "-t", &responses, "-o", "beginning", "-c", &wanted, "-q"])));
    cluster.same_everywhere().await;
}

/// What is typed.
fn lines() -> [&'static str; 4] {
    [
        r#"{"messageId":"1","clientId":"me","sqlString":"create table person(id integer primary key, name varchar(40))"}"#,
        r#"{"messageId":"2","clientId":"me","sqlString":"insert into person values (1, 'Jan')"}"#,
        r#"{"messageId":"3","clientId":"me","sqlString":"insert into person values (1, 'Eva')"}"#,
        r#"{"messageId":"4","clientId":"me","sqlString":"select name from person where id = $1","params":[1]}"#,
    ]
}

/// Every node has answered each line, and alike.
fn check(responses: &[Value]) {
    // What is said twice, after a new start for example, counts once.
    let answers: BTreeSet<[String; 5]> = responses.iter().map(essence).collect();
    for (id, code, count, rows) in [
        ("1", "OK", "0", "[]"),
        ("2", "OK", "1", "[]"),
        ("3", "unique_violation", "null", "null"),
        ("4", "OK", "1", r#"[{"name":"Jan"}]"#),
    ] {
        for node in ["n1", "n2", "n3"] {
            let expected = [id, node, code, count, rows].map(str::to_owned);
            assert!(answers.contains(&expected), "{expected:?} is missing: {answers:#?}");
        }
    }
    assert_eq!(answers.len(), lines().len() * NODES, "{answers:#?}");
}

/// Request, node, code, count and rows.
fn essence(response: &Value) -> [String; 5] {
    let text = |field: &str| response[field].as_str().unwrap_or_default().to_owned();
    let code = response["error"]["code"].as_str().unwrap_or("OK").to_owned();
    [text("requestId"), text("nodeId"), code, response["rowsAffected"].to_string(), response["result"].to_string()]
}

fn topics(cluster: &Cluster) -> (String, String) {
    (format!("{}ALL", cluster.prefix()), format!("{}RESPONSES", cluster.prefix()))
}

fn tool(kafka: &KafkaServer, name: &str, arguments: &[&str]) -> Command {
    kafka.tool(name, arguments).expect("Kafka's tools are there")
}

/// Types lines into a program and waits for its end.
fn typed(mut program: Command, lines: &[&str]) {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("its input is a pipe");
    for line in lines {
        writeln!(input, "{line}").expect("the program reads");
    }
    drop(input);
    assert!(child.wait().expect("the program can be awaited").success());
}

/// What a program prints, a JSON value on each line.
fn read(mut program: Command) -> Vec<Value> {
    let output = program.output().expect("the program starts");
    let (said, trouble) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{trouble}");
    said.lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("a response"))
        .collect()
}
