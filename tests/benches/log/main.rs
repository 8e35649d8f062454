//! How fast the broker is, beside Apache Kafka and PostgreSQL on the same machine and disk in the same run.
//!
//! - Throughput: Kafka's own performance tools, one idempotent producer and one consumer, records of 200 bytes.
//! - Group commit: 64 writers, each with one record (or transaction) under way, each waiting until its own is on the disk.
//! - Latency: one record at a time, until it is acknowledged and until a consumer that waits has it.
//!
//! What the embedded broker should reach with everything on the disk is printed beside what it does.
//!
//! `make bench`, or `cargo bench -p kluster-tests --bench log`.

mod commits;
mod latency;
mod throughput;
mod wire;

use kluster_test_servers::{KafkaOptions, KafkaServer, LogServer};
use kluster_tests::target::{Measured, Target};

/// A setting of a topic: every record is on the disk before it is acknowledged.
const ON_DISK: (&str, &str) = ("flush.messages", "1");
/// Kafka's default: the operating system writes when it likes.
const IN_MEMORY: (&str, &str) = ("flush.messages", "9223372036854775807");

/// What the embedded broker should reach: records in a second, written and read; commits, as a part of PostgreSQL's; the way of one record.
const RECORDS: Target = Target::AtLeast(200_000.0);
const OF_POSTGRES: Target = Target::AtLeast(0.7);
const CONSUMED_MS: Target = Target::AtMost(1.0);

#[tokio::main]
async fn main() {
    let servers = [("kluster-broker", LogServer::Broker), ("Apache Kafka", LogServer::Kafka)];
    let durabilities = [("on disk before the ack", ON_DISK), ("in memory", IN_MEMORY)];
    let postgres = commits::by_postgres().await;
    println!("group commit, PostgreSQL: {postgres}");
    for (name, kind) in servers {
        let server = KafkaServer::start_as(kind, KafkaOptions::default()).await.expect("it starts");
        for (durability, setting) in durabilities {
            let commits = commits::by_log(&server, setting).await;
            let ratio = commits.rate / postgres.rate;
            println!("group commit, {name}, {durability}: {commits}   {ratio:.2}x of PostgreSQL");
            judge(kind, setting, "group commit", &[("beside PostgreSQL's", ratio, "x", OF_POSTGRES)]);
        }
        for (durability, setting) in durabilities {
            let (acknowledged, consumed) = latency::of(&server, setting).await;
            println!("latency, {name}, {durability}: acknowledged {acknowledged}; consumed {consumed}");
            judge(kind, setting, "latency", &[("consumed, p50", consumed.p50, "ms", CONSUMED_MS)]);
        }
        for (durability, setting) in durabilities {
            let throughput = throughput::of(&server, setting);
            println!("throughput, {name}, {durability}: {throughput}");
            let of = |what, figure| (what, figure, "records/s", RECORDS);
            judge(kind, setting, "throughput", &[of("written", throughput.written), of("read", throughput.read)]);
        }
    }
}

/// Prints figures of the embedded broker beside their targets, which mean records on the disk.
fn judge(kind: LogServer, setting: (&str, &str), what: &str, figures: &[(&str, f64, &'static str, Target)]) {
    if kind != LogServer::Broker || setting != ON_DISK {
        return;
    }
    for (name, figure, unit, target) in figures {
        println!("  {what}, {name}: {}", Measured { figure: *figure, unit, target: *target });
    }
}

/// Makes a topic with one partition and one setting, and returns its name.
fn topic(server: &KafkaServer, (name, value): (&str, &str)) -> String {
    let topic = format!("bench-{}", uuid::Uuid::new_v4().simple());
    let setting = format!("{name}={value}");
    let words = ["--create", "--topic", &topic, "--partitions", "1", "--config", &setting];
    said(server.tool("kafka-topics", &words).expect("Kafka's tools are there"));
    topic
}

fn said(mut command: std::process::Command) -> String {
    let output = command.output().expect("the program starts");
    let (said, trouble) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{trouble}");
    said.into_owned()
}
