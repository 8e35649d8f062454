//! What a user of rskafka, a client that is Rust all the way down, does with a broker. It has neither groups nor transactions.
//!
//! Takes the broker's address and a prefix for names; prints a line for each thing that worked, and ends with an error at the first thing that
//! went wrong.

use chrono::DateTime;
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, OffsetAt, UnknownTopicHandling};
use rskafka::record::Record;
use std::error::Error;
use std::fmt::Debug;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_MS: i32 = 30_000;

fn expect<T: PartialEq + Debug>(found: T, wanted: T, what: &str) {
    assert_eq!(found, wanted, "{what}");
    println!("worked: {what}");
}

fn record(value: &str) -> Record {
    Record {
        key: Some(b"key".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: [("n".to_owned(), b"1".to_vec())].into(),
        timestamp: DateTime::UNIX_EPOCH,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, bootstrap, prefix] = &arguments[..] else { panic!("usage: rskafka-client ADDRESS PREFIX") };
    let topic = format!("{prefix}rskafka");
    let client = ClientBuilder::new(vec![bootstrap.clone()]).build().await?;
    let controller = client.controller_client()?;
    controller.create_topic(&topic, 2, 1, PATIENCE_MS).await?;
    expect(controller.create_topic(&topic, 2, 1, PATIENCE_MS).await.is_err(), true, "a topic is created once");
    let listed = async || Ok::<_, Box<dyn Error>>(client.list_topics().await?.iter().any(|found| found.name == topic));
    // Apache Kafka's brokers learn of a change a moment after its controller has confirmed it.
    let becomes = async |wanted: bool| {
        let deadline = Instant::now() + PATIENCE;
        while listed().await? != wanted && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        listed().await
    };
    expect(becomes(true).await?, true, "the topic is listed");
    let partition = client.partition_client(&topic, 1, UnknownTopicHandling::Retry).await?;
    let written = partition.produce(vec![record("a"), record("b")], Compression::NoCompression).await?;
    expect(written, vec![0, 1], "records are written");
    let (read, high_watermark) = partition.fetch_records(0, 1..1_000_000, PATIENCE_MS).await?;
    let read: Vec<_> = read.into_iter().map(|found| (found.offset, found.record)).collect();
    expect(read, vec![(0, record("a")), (1, record("b"))], "records are read as they were written");
    expect(high_watermark, 2, "the high watermark is told");
    expect(partition.get_offset(OffsetAt::Latest).await?, 2, "the end is told");
    partition.delete_records(1, PATIENCE_MS).await?;
    expect(partition.get_offset(OffsetAt::Earliest).await?, 1, "records are deleted");
    controller.delete_topic(&topic, PATIENCE_MS).await?;
    expect(becomes(false).await?, false, "the topic is deleted");
    Ok(())
}
