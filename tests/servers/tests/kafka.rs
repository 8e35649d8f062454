//! Kafka as tests use it: it answers, comes back after a kill with what it had, and is gone after its drop.
#![cfg(test)]

use std::net::TcpStream;
use std::process::Stdio;

use kluster_test_servers::{KafkaOptions, KafkaServer, LogServer, require};

const TOPIC: [&str; 6] = ["--create", "--topic", "kept", "--partitions", "1", "--if-not-exists"];

fn succeeds(mut command: std::process::Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn write(kafka: &KafkaServer, line: &str) {
    let mut command = kafka.tool("kafka-console-producer", &["--topic", "kept"]).unwrap();
    let mut producer = command.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut producer.stdin.take().unwrap(), line.as_bytes()).unwrap();
    assert!(producer.wait().unwrap().success());
}

fn read(kafka: &KafkaServer, records: usize) -> String {
    let count = records.to_string();
    let arguments = ["--topic", "kept", "--from-beginning", "--max-messages", &count, "--timeout-ms", "20000"];
    succeeds(kafka.tool("kafka-console-consumer", &arguments).unwrap())
}

#[tokio::test]
async fn kafka_keeps_its_records_through_kill_9_and_is_gone_after_drop() {
    require!(Kafka, KafkaTools);
    let kafka = KafkaServer::start(KafkaOptions::default()).await.unwrap();
    let bootstrap = kafka.bootstrap().to_owned();
    succeeds(kafka.tool("kafka-topics", &TOPIC).unwrap());
    write(&kafka, "before\n");

    kafka.kill9().await.unwrap();
    assert!(kafka.id().await.is_none());
    assert!(TcpStream::connect(&bootstrap).is_err());

    kafka.restart().await.unwrap();
    assert_eq!(kafka.bootstrap(), bootstrap);
    write(&kafka, "after\n");
    assert_eq!(read(&kafka, 2), "before\nafter\n");

    let files = kafka.log();
    drop(kafka);
    assert!(TcpStream::connect(&bootstrap).is_err());
    assert!(files.is_none_or(|log| !log.parent().unwrap().exists()));
}

#[tokio::test]
async fn a_failed_start_shows_the_end_of_the_log() {
    require!(Kafka);
    let properties = vec![("log.segment.bytes".to_owned(), "many".to_owned())];
    let options = KafkaOptions { properties, ..Default::default() };
    let error = KafkaServer::start_as(LogServer::Kafka, options).await.unwrap_err().to_string();
    assert!(error.contains("Kafka did not become ready (it ended)"), "{error}");
    assert!(error.contains("log.segment.bytes"), "{error}");
}
