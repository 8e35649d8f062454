//! Clients that are not ours do with the log's server what their users do, and what they print is looked at closely: Kafka's Java tools and kcat
//! (librdkafka). The same on Apache Kafka and on the embedded broker.
//!
//! Neighbours: `kafka_clients.rs` runs many more clients and command lines, and only asks how they end.

use kluster_test_servers::{KafkaServer, require, shared_kafka};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A broker may tell of a change a moment after it was confirmed.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn java_tools_administer_topics() {
    require!(Kafka, KafkaTools);
    let tools = Tools::new("admin").await;
    tools.run(
        "kafka-topics",
        &["--create", "--topic", &tools.topic, "--partitions", "2", "--config", "retention.ms=3600000"],
    );
    tools.becomes(
        "kafka-topics",
        &["--describe", "--topic", &tools.topic],
        &["PartitionCount: 2", "retention.ms=3600000"],
    );
    tools.run("kafka-topics", &["--alter", "--topic", &tools.topic, "--partitions", "3"]);
    tools.becomes("kafka-topics", &["--describe", "--topic", &tools.topic], &["PartitionCount: 3"]);

    let entity = ["--entity-type", "topics", "--entity-name", &tools.topic];
    tools.run("kafka-configs", &[&["--alter", "--add-config", "retention.ms=7200000"], &entity[..]].concat());
    tools.becomes("kafka-configs", &[&["--describe"], &entity[..]].concat(), &["retention.ms=7200000"]);
    tools.run("kafka-configs", &[&["--alter", "--delete-config", "retention.ms"], &entity[..]].concat());
    let wrong = [&["--alter", "--add-config", "retention.ms=soon"], &entity[..]].concat();
    assert!(tools.fails("kafka-configs", &wrong).contains("retention.ms"), "a wrong value is refused by its name");

    let again = ["--create", "--topic", &tools.topic];
    assert!(tools.fails("kafka-topics", &again).contains("already exists"), "a topic is created once");
    tools.run("kafka-topics", &["--delete", "--topic", &tools.topic]);
    let gone = || !tools.run("kafka-topics", &["--list"]).lines().any(|line| line == tools.topic);
    until("the topic is deleted", gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn java_tools_write_read_and_cut() {
    require!(Kafka, KafkaTools);
    let tools = Tools::new("records").await;
    tools.run("kafka-topics", &["--create", "--topic", &tools.topic, "--partitions", "1"]);
    tools.typed(
        "kafka-console-producer",
        &["--topic", &tools.topic, "--reader-property", "parse.key=true", "--reader-property", "key.separator=:"],
        "a:1\nb:2\nc:3\n",
    );
    let performance = ["--topic", &tools.topic, "--num-records", "5000", "--record-size", "200", "--throughput", "-1"];
    assert!(tools.run("kafka-producer-perf-test", &performance).contains("5000 records sent"));

    let first = ["--topic", &tools.topic, "--from-beginning", "--max-messages", "3"];
    assert_eq!(tools.run("kafka-console-consumer", &first), "1\n2\n3\n");
    assert_eq!(tools.run("kafka-get-offsets", &["--topic", &tools.topic]).trim(), format!("{}:0:5003", tools.topic));

    let mut cut = tempfile::NamedTempFile::new().unwrap();
    let partition =
        format!(r#"{{"version":1,"partitions":[{{"topic":"{}","partition":0,"offset":5001}}]}}"#, tools.topic);
    cut.write_all(partition.as_bytes()).unwrap();
    let path = cut.path().display().to_string();
    assert!(tools.run("kafka-delete-records", &["--offset-json-file", &path]).contains("low_watermark: 5001"));
    let earliest = ["--topic", &tools.topic, "--time", "earliest"];
    assert_eq!(tools.run("kafka-get-offsets", &earliest).trim(), format!("{}:0:5001", tools.topic));
}

#[tokio::test(flavor = "multi_thread")]
async fn java_tools_administer_groups() {
    require!(Kafka, KafkaTools);
    let tools = Tools::new("groups").await;
    let group = format!("{}-group", tools.topic);
    tools.run("kafka-topics", &["--create", "--topic", &tools.topic, "--partitions", "1"]);
    tools.typed("kafka-console-producer", &["--topic", &tools.topic], "1\n2\n3\n");
    let read = |count| {
        let words = ["--topic", &tools.topic, "--from-beginning", "--group", &group, "--max-messages", count];
        tools.run("kafka-console-consumer", &words)
    };
    assert_eq!(read("2"), "1\n2\n");
    assert_eq!(read("1"), "3\n", "the group goes on where it stopped");

    assert!(tools.run("kafka-consumer-groups", &["--list"]).lines().any(|line| line == group));
    let describe = ["--describe", "--group", &group];
    let described = tools.run("kafka-consumer-groups", &describe);
    assert_eq!(offset_and_lag(&described, &tools.topic), ("3".into(), "0".into()), "{described}");
    tools.run(
        "kafka-consumer-groups",
        &["--reset-offsets", "--to-offset", "1", "--topic", &tools.topic, "--group", &group, "--execute"],
    );
    let described = tools.run("kafka-consumer-groups", &describe);
    assert_eq!(offset_and_lag(&described, &tools.topic), ("1".into(), "2".into()), "{described}");
    assert_eq!(read("2"), "2\n3\n", "the group reads from where it was set to");

    tools.run("kafka-consumer-groups", &["--delete-offsets", "--topic", &tools.topic, "--group", &group]);
    assert!(tools.run("kafka-consumer-groups", &["--delete", "--group", &group]).contains("successful"));
    assert!(!tools.run("kafka-consumer-groups", &["--list"]).lines().any(|line| line == group));
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_lists_writes_reads_asks_and_joins() {
    // The topic is made by Kafka's own tool.
    require!(Kafka, KafkaTools, Program("kcat"));
    let tools = Tools::new("kcat").await;
    let topic = tools.topic.as_str();
    tools.run("kafka-topics", &["--create", "--topic", topic, "--partitions", "1"]);
    until("kcat lists the topic", || {
        kcat(&tools, &["-L"], "").contains(&format!("topic \"{topic}\" with 1 partitions"))
    });
    kcat(&tools, &["-P", "-t", topic, "-K", ":", "-z", "gzip"], "a:1\nb:2\n");
    kcat(&tools, &["-P", "-t", topic, "-K", ":", "-X", "enable.idempotence=true"], "c:3\n");
    let all = ["-C", "-t", topic, "-o", "beginning", "-e", "-f", "%o %k=%s\n"];
    assert_eq!(kcat(&tools, &all, ""), "0 a=1\n1 b=2\n2 c=3\n");
    assert!(kcat(&tools, &["-Q", "-t", &format!("{topic}:0:0")], "").contains("offset 0"));
    let group = format!("{topic}-group");
    let join = ["-G", &group, topic, "-X", "auto.offset.reset=earliest", "-c", "3", "-f", "%s\n"];
    // -G takes all that follows as topics.
    let join = [&join[3..], &join[..3]].concat();
    assert_eq!(kcat(&tools, &join, ""), "1\n2\n3\n");
}

/// Kafka's Java tools, pointed at the shared server, and a topic name of the test's own.
struct Tools {
    kafka: &'static KafkaServer,
    topic: String,
}

impl Tools {
    async fn new(test: &str) -> Self {
        Self { kafka: shared_kafka().await, topic: new_name(test) }
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        self.kafka.tool(name, arguments).expect("Kafka's tools are there")
    }

    /// What it prints; it must end well.
    fn run(&self, name: &str, arguments: &[&str]) -> String {
        said(self.command(name, arguments), "")
    }

    fn typed(&self, name: &str, arguments: &[&str], input: &str) {
        said(self.command(name, arguments), input);
    }

    fn becomes(&self, name: &str, arguments: &[&str], wanted: &[&str]) {
        until(&format!("{name} shows {wanted:?}"), || {
            let shown = self.run(name, arguments);
            wanted.iter().all(|text| shown.contains(text))
        });
    }

    /// What it says when it ends badly, as it must.
    fn fails(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.command(name, arguments).output().expect("the program starts");
        let words = [output.stdout, output.stderr].concat();
        let words = String::from_utf8_lossy(&words).into_owned();
        assert!(!output.status.success(), "{name} {arguments:?} ended well: {words}");
        words
    }
}

fn kcat(tools: &Tools, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("kcat");
    command.args(["-q", "-b", tools.kafka.bootstrap()]).args(arguments);
    said(command, input)
}

fn said(mut command: Command, input: &str) -> String {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program starts");
    child.stdin.take().expect("its input is a pipe").write_all(input.as_bytes()).expect("the program reads");
    let output = child.wait_with_output().expect("the program can be awaited");
    let (said, trouble) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said}\n{trouble}");
    said.into_owned()
}

/// CURRENT-OFFSET and LAG of a topic in the table of kafka-consumer-groups.
fn offset_and_lag(table: &str, topic: &str) -> (String, String) {
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1) == Some(&topic)).unwrap_or_default();
    let field = |place: usize| row.get(place).copied().unwrap_or_default().to_owned();
    (field(3), field(5))
}

/// Each look takes as long as a program runs: no pause is needed between them.
fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
    }
}

fn new_name(test: &str) -> String {
    format!("{test}-{}", uuid::Uuid::new_v4().simple())
}
