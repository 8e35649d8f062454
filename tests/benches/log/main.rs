//! How fast the broker is, beside Apache Kafka and PostgreSQL on the same machine and disk in the same run.
//!
//! - Throughput: Kafka's own performance tools, one idempotent producer and one consumer, records of 200 bytes.
//! - Group commit: 64 writers, each with one record (or transaction) under way, each waiting until its own is on the disk.
//!
//! `make bench`, or `cargo bench -p kluster-tests --bench log`.

mod commits;
mod throughput;

use kluster_test_servers::{KafkaOptions, KafkaServer, LogServer};

/// A setting of a topic: every record is on the disk before it is acknowledged.
const ON_DISK: (&str, &str) = ("flush.messages", "1");
/// Kafka's default: the operating system writes when it likes.
const IN_MEMORY: (&str, &str) = ("flush.messages", "9223372036854775807");

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
        }
        for (durability, setting) in durabilities {
            println!("throughput, {name}, {durability}: {}", throughput::of(&server, setting));
        }
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
