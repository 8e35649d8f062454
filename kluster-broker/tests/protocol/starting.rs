//! Starts and stops: what a restart keeps, what a start refuses and says, what a stop waits for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    CreateTopicsRequest, DescribeClusterRequest, FetchRequest, InitProducerIdRequest, MetadataRequest,
};
use kluster_broker::fault::disk::DiskFaults;
use kluster_broker::{Broker, BrokerError};
use tempfile::TempDir;

use crate::client::{Client, batch, frame};
use crate::fetching::{fetch_all, fetch_request};
use crate::producing::produce;
use crate::{creatable, create, open, serve, serve_with, settings, topic_id};

#[tokio::test]
async fn a_restart_keeps_topics_ids_settings_and_records() {
    let dir = TempDir::new().unwrap();
    let broker = open(&dir, |_| {}).await;
    let mut client = Client::connect(broker.address()).await;
    create(&mut client, "kept", 2, &[("retention.ms", "-1")]).await;
    produce(&mut client, 9, "kept", 1, batch(&["a", "b"])).await;
    let id = topic_id(&mut client, "kept").await;
    let cluster = client.call(0, DescribeClusterRequest::default()).await.cluster_id;
    let producer = client.call(4, InitProducerIdRequest::default().with_transactional_id(None)).await.producer_id;
    broker.stop().await.unwrap();
    client.assert_closed().await;

    let broker = open(&dir, |_| {}).await;
    let mut client = Client::connect(broker.address()).await;
    assert_eq!(topic_id(&mut client, "kept").await, id);
    assert_eq!(client.call(0, DescribeClusterRequest::default()).await.cluster_id, cluster);
    assert!(client.call(4, InitProducerIdRequest::default().with_transactional_id(None)).await.producer_id > producer);
    assert_eq!(fetch_all(&mut client, "kept", 1).await, [(0, "a".to_owned()), (1, "b".to_owned())]);
    assert_eq!(produce(&mut client, 9, "kept", 1, batch(&["c"])).await.base_offset, 2);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_dropped_lets_go_of_everything() {
    let dir = TempDir::new().unwrap();
    let broker = open(&dir, |_| {}).await;
    let address = broker.address();
    let mut client = Client::connect(address).await;
    create(&mut client, "dropped", 1, &[]).await;
    produce(&mut client, 9, "dropped", 0, batch(&["a"])).await;
    drop(broker);
    client.assert_closed().await;
    let deadline = Instant::now() + crate::client::DEADLINE;
    let broker = loop {
        match Broker::open(settings(&dir, |settings| settings.listen = address)).await {
            Ok(broker) => break broker,
            Err(reason) => assert!(Instant::now() < deadline, "{reason}"),
        }
        tokio::task::yield_now().await;
    };
    let mut client = Client::connect(broker.address()).await;
    assert_eq!(fetch_all(&mut client, "dropped", 0).await, [(0, "a".to_owned())]);
}

#[tokio::test]
async fn a_directory_in_use_is_named_with_its_holder() {
    let served = serve().await;
    let refused = Broker::open(settings(&served.dir, |_| {})).await.unwrap_err();
    let words = refused.to_string();
    assert!(words.contains(&std::process::id().to_string()), "{words}");
    assert!(words.contains(served.dir.path().to_str().unwrap()), "{words}");
}

#[tokio::test]
async fn a_port_in_use_is_named_and_the_directory_is_free_again() {
    let served = serve().await;
    let dir = TempDir::new().unwrap();
    let taken = served.broker.address();
    let refused = Broker::open(settings(&dir, |settings| settings.listen = taken)).await.unwrap_err();
    assert!(matches!(refused, BrokerError::PortInUse { address } if address == taken));
    assert!(refused.to_string().contains("another port"), "{refused}");
    open(&dir, |_| {}).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_foreign_address_is_refused_with_words() {
    let dir = TempDir::new().unwrap();
    // TEST-NET-1 (RFC 5737) is no machine's.
    let refused = Broker::open(settings(&dir, |settings| settings.listen = "192.0.2.1:9092".parse().unwrap())).await;
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("192.0.2.1:9092") && words.contains("address of this machine"), "{words}");
}

#[tokio::test]
async fn a_directory_that_can_not_be_made_is_named() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let refused = Broker::open(settings(&dir, |settings| settings.dir = file.join("data"))).await.unwrap_err();
    assert!(refused.to_string().contains(file.to_str().unwrap()), "{refused}");
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way() {
    let served = serve().await;
    let mut client = served.with_topic("stop", 1).await;
    let wait = fetch_request("stop", 0, 0).with_max_wait_ms(60_000).with_min_bytes(1);
    let correlation = client.send(12, &wait).await;
    let mut asking = served.client().await;
    asking.call(12, MetadataRequest::default()).await;
    let started = Instant::now();
    served.broker.stop().await.unwrap();
    let answer = client.receive::<FetchRequest>(12, correlation).await;
    assert_eq!(answer.responses[0].partitions[0].error_code, 0);
    assert!(started.elapsed() < Duration::from_secs(4), "a long poll does not hold up the stop");
    client.assert_closed().await;
    asking.assert_closed().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let served = serve_with(|settings| settings.drain = Duration::from_millis(100)).await;
    let mut client = served.with_topic("cut", 1).await;
    for _ in 0..20 {
        produce(&mut client, 9, "cut", 0, batch(&[&"x".repeat(1_000_000)])).await;
    }
    // Answers of many megabytes that nobody takes.
    for _ in 0..100 {
        client.send(12, &fetch_request("cut", 0, 0).with_max_bytes(50_000_000)).await;
    }
    let started = Instant::now();
    served.broker.stop().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_full_disk_is_named_with_what_to_do() {
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(DiskFaults::default());
    disk.set_space(Some(0));
    let faults = Arc::clone(&disk);
    let refused = Broker::open(settings(&dir, |settings| settings.disk_faults = faults)).await.unwrap_err();
    assert!(matches!(refused, BrokerError::File { .. }), "{refused:?}");
    assert!(refused.to_string().contains("free some space"), "{refused}");
    disk.set_space(None);
    open(&dir, |_| {}).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_damaged_log_is_named_with_its_place() {
    let dir = TempDir::new().unwrap();
    let broker = open(&dir, |_| {}).await;
    let mut client = Client::connect(broker.address()).await;
    create(&mut client, "damaged", 1, &[]).await;
    for _ in 0..3 {
        produce(&mut client, 9, "damaged", 0, batch(&[&"x".repeat(100)])).await;
    }
    broker.stop().await.unwrap();
    let file = dir.path().join("damaged-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[80] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    std::fs::remove_file(file.with_extension("index")).unwrap();
    let refused = Broker::open(settings(&dir, |_| {})).await.unwrap_err().to_string();
    assert!(refused.contains(file.to_str().unwrap()) && refused.contains("byte 0"), "{refused}");
}

/// Not a test of its own: a process that may have few files open.
#[test]
#[ignore = "started by the test below"]
fn child_of_few_files() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let served = serve().await;
        let mut clients = Vec::new();
        let refused = loop {
            let mut client = served.client().await;
            let _ = client.write(&frame(1, 12, &MetadataRequest::default().with_topics(Some(Vec::new())))).await;
            match client.read().await {
                Ok(Some(_)) => clients.push(client),
                _ => break clients.len(),
            }
        };
        assert!((32..1_000).contains(&refused), "bounded by what there is: {refused}");
        // There are files left for what the broker still promises.
        let first = &mut clients[0];
        let mut made = 0;
        let refusal = loop {
            let topic = creatable(&format!("t{made}"), 1, &[]);
            let request = CreateTopicsRequest::default().with_topics(vec![topic]);
            let result = first.call(7, request).await.topics.remove(0);
            match ResponseError::try_from_code(result.error_code) {
                None => made += 1,
                Some(refusal) => break (refusal, result.error_message.unwrap()),
            }
        };
        assert!(refusal.0 == ResponseError::PolicyViolation && refusal.1.contains("open files"), "{refusal:?}");
        assert!(made >= 4, "{made}");
        assert_eq!(produce(first, 9, "t0", 0, batch(&["x"])).await.error_code, 0);
    });
}

#[test]
fn few_open_files_lower_the_bounds_and_break_nothing() {
    let test = std::env::current_exe().unwrap();
    let ended = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\""])
        .arg(test)
        .args(["starting::child_of_few_files", "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
