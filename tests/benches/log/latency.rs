//! Latency: one record at a time, from its sending until it is acknowledged, and until a consumer that waits for it has it.

use super::wire::{Connection, FETCH, PRODUCE, fetch, frame, is_stored, produce};
use kafka_protocol::messages::{ApiKey, FetchResponse, ProduceResponse};
use kluster_test_servers::KafkaServer;
use std::fmt;
use std::time::{Duration, Instant};

const ROUNDS: i64 = 3_000;

/// The middle and the tail of what was measured, in milliseconds.
pub struct Times {
    pub p50: f64,
    pub p99: f64,
}

impl Times {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1e3;
        Self { p50: at(50), p99: at(99) }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.3} ms, p99 {:.3} ms", self.p50, self.p99)
    }
}

/// Until acknowledged, until consumed.
pub async fn of(server: &KafkaServer, setting: (&str, &str)) -> (Times, Times) {
    let topic = super::topic(server, setting);
    let mut producer = Connection::open(server.bootstrap()).await;
    let mut consumer = Connection::open(server.bootstrap()).await;
    let record = frame(ApiKey::Produce, PRODUCE, &produce(&topic));
    let (mut acknowledged, mut consumed) = (Vec::new(), Vec::new());
    for offset in 0..ROUNDS {
        consumer.send(&frame(ApiKey::Fetch, FETCH, &fetch(&topic, offset))).await;
        let sent = Instant::now();
        producer.send(&record).await;
        let (ack, got) = tokio::join!(
            async {
                let answer: ProduceResponse = producer.answer(ApiKey::Produce, PRODUCE).await;
                let took = sent.elapsed();
                assert!(is_stored(&answer), "{answer:?}");
                took
            },
            async {
                let answer: FetchResponse = consumer.answer(ApiKey::Fetch, FETCH).await;
                let took = sent.elapsed();
                let mut partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
                let has_records = |records: &bytes::Bytes| !records.is_empty();
                assert!(partitions.any(|part| part.records.as_ref().is_some_and(has_records)), "{answer:?}");
                took
            }
        );
        acknowledged.push(ack);
        consumed.push(got);
    }
    (Times::of(acknowledged), Times::of(consumed))
}
