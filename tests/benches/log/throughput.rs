//! Throughput, as Kafka's own tools measure it.

use kluster_test_servers::KafkaServer;
use std::fmt;

const RECORDS: &str = "2000000";
/// Where the log has settled on its pace, the tool has printed its sum.
const SUM: &str = "records sent";

/// Records in a second; what a tool does not say is not a number.
pub struct Throughput {
    pub written: f64,
    pub read: f64,
}

impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} records/s written, {:.0} read", self.written, self.read)
    }
}

/// What the two tools say of one new topic.
pub fn of(server: &KafkaServer, setting: (&str, &str)) -> Throughput {
    let topic = super::topic(server, setting);
    let written = written(server, &topic);
    Throughput { written, read: read(server, &topic) }
}

fn written(server: &KafkaServer, topic: &str) -> f64 {
    let words = ["--topic", topic, "--num-records", RECORDS, "--record-size", "200", "--throughput", "-1"];
    let idempotent = ["--producer-props", "acks=all", "enable.idempotence=true"];
    let words = [&words[..], &idempotent].concat();
    let said = super::said(server.tool("kafka-producer-perf-test", &words).expect("Kafka's tools are there"));
    // "2000000 records sent, 512345.6 records/sec (97.7 MB/sec), …", after lines about shorter times.
    let sum = said.lines().rfind(|line| line.starts_with(RECORDS) && line.contains(SUM)).unwrap_or_default();
    number(sum.split(", ").nth(1).and_then(|rate| rate.split(' ').next()))
}

fn read(server: &KafkaServer, topic: &str) -> f64 {
    let words = ["--topic", topic, "--num-records", RECORDS, "--timeout", "60000"];
    let said = super::said(server.tool("kafka-consumer-perf-test", &words).expect("Kafka's tools are there"));
    // A head of names, then a row of values: start, end, MB, MB/s, records, records/s, time to join, time to fetch, MB/s, records/s while fetching.
    let row = said.lines().rfind(|line| line.contains(':')).unwrap_or_default();
    number(row.split(", ").nth(9))
}

fn number(said: Option<&str>) -> f64 {
    said.and_then(|said| said.parse().ok()).unwrap_or(f64::NAN)
}
