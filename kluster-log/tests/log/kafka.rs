//! What only a real Kafka can show.

use crate::kinds::{created, settings_on_kafka};
use kluster_log::{Log, LogError, LogSettings, NewRecord, TopicSettings};
use kluster_protocol::{Offset, Topic};
use kluster_test_servers::{KafkaOptions, KafkaServer, LogServer, require, shared_kafka};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

async fn run(command: Result<Command, kluster_test_servers::ServerError>) {
    let output = tokio::process::Command::from(command.unwrap()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn wrong_settings_are_found() {
    require!(Kafka, KafkaTools);
    let settings = settings_on_kafka("wrong_settings").await;
    let log = Log::connect(settings.clone()).await.unwrap();
    let wanted = TopicSettings::development();
    let missing = log.check_topics(&wanted).await.unwrap();
    assert_eq!(missing.refusals(true).len(), Topic::EACH.len());
    let error = log.read(Topic::All, 0, Offset::ZERO).await.unwrap_err();
    assert!(matches!(error, LogError::MissingTopic { .. }), "{error}");

    let name = log.names().name(Topic::All);
    let create = ["--create", "--topic", &name, "--partitions", "2", "--config", "retention.ms=604800000"];
    run(shared_kafka().await.tool("kafka-topics", &create)).await;
    log.create_topics(&wanted).await.unwrap();
    let check = log.check_topics(&wanted).await.unwrap();
    let found: Vec<_> = check.refusals(true).iter().map(|finding| finding.setting.clone()).collect();
    for setting in ["partition count", "retention.ms", "message.timestamp.type"] {
        assert!(found.iter().any(|found| found == setting), "{setting} is missing in {found:?}");
    }
    assert!(check.findings.iter().all(|finding| finding.topic == Topic::All), "{check:?}");
}

#[tokio::test]
async fn topics_are_created_once_brokers_enough_have_joined() {
    require!(Kafka, KafkaTools);
    let kafka = KafkaServer::start_as(LogServer::Kafka, KafkaOptions::default()).await.unwrap();
    let wanted = TopicSettings { replication: 2, min_insync: 1, development: false, ..TopicSettings::development() };
    let hasty = LogSettings { deadline: Duration::from_secs(1), ..LogSettings::at(kafka.bootstrap()) };
    let error = Log::connect(hasty).await.unwrap().create_topics(&wanted).await.unwrap_err();
    assert!(error.to_string().contains("fewer brokers"), "{error}");

    let log = Log::connect(LogSettings { deadline: PATIENCE, ..LogSettings::at(kafka.bootstrap()) }).await.unwrap();
    let development = LogSettings { topic_prefix: "id.".into(), ..LogSettings::at(kafka.bootstrap()) };
    let id = created(development).await.identity().await.unwrap().cluster_id;
    let creating = tokio::spawn(async move { (log.create_topics(&wanted).await, log.check_topics(&wanted).await) });
    let _second = kafka.second_broker(&id).await.unwrap();
    let (made, check) = creating.await.unwrap();
    assert!(made.unwrap().iter().all(|(_, made)| *made == kluster_log::Created::New));
    assert_eq!(check.unwrap().refusals(false).len(), 0);
}

#[tokio::test]
async fn the_command_in_a_finding_mends_it() {
    require!(Kafka, KafkaTools);
    let log = created(settings_on_kafka("mends").await).await;
    let wanted = TopicSettings::development();
    let name = log.names().name(Topic::All);
    let spoil = ["--alter", "--entity-type", "topics", "--entity-name", &name, "--add-config", "retention.ms=1000"];
    run(shared_kafka().await.tool("kafka-configs", &spoil)).await;
    let check = log.check_topics(&wanted).await.unwrap();
    let words: Vec<&str> = check.findings[0].mend.split(' ').collect();
    assert_eq!(words[..2], ["kafka-configs.sh", "--bootstrap-server"]);
    run(shared_kafka().await.tool("kafka-configs", &words[3..])).await;
    assert_eq!(log.check_topics(&wanted).await.unwrap().findings, []);
}

#[tokio::test]
async fn a_reader_stops_when_its_place_is_deleted() {
    require!(Kafka, KafkaTools);
    let log = created(settings_on_kafka("deleted").await).await;
    for number in 0..5 {
        log.append(Topic::All, None, NewRecord::of(number.to_string())).await.unwrap();
    }
    let name = log.names().name(Topic::All);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("delete.json");
    let json = format!(r#"{{"partitions":[{{"topic":"{name}","partition":0,"offset":3}}],"version":1}}"#);
    std::fs::write(&file, json).unwrap();
    // Not polled before the records are gone, so that nothing is buffered beyond what librdkafka fetched by itself.
    let delete = ["--offset-json-file", file.to_str().unwrap()];
    run(shared_kafka().await.tool("kafka-delete-records", &delete)).await;
    let error = log.read(Topic::All, 0, Offset::new(2)).await.unwrap_err();
    assert!(
        matches!(error, LogError::OutOfRange { asked, start, .. } if (asked.get(), start.get()) == (2, 3)),
        "{error}"
    );
    let mut reader = log.read(Topic::All, 0, Offset::new(3)).await.unwrap();
    assert_eq!(timeout(PATIENCE, reader.next()).await.unwrap().unwrap().offset, Offset::new(3));
}

#[tokio::test]
async fn a_reader_stops_when_the_topic_is_made_anew() {
    require!(Kafka, KafkaTools);
    let settings = settings_on_kafka("anew").await;
    let log = created(settings.clone()).await;
    let before = log.identity().await.unwrap();
    for number in 0..5 {
        log.append(Topic::All, None, NewRecord::of(number.to_string())).await.unwrap();
    }
    let mut reader = log.read(Topic::All, 0, Offset::new(5)).await.unwrap();
    let name = log.names().name(Topic::All);
    run(shared_kafka().await.tool("kafka-topics", &["--delete", "--topic", &name])).await;
    let end = timeout(PATIENCE, reader.next()).await.unwrap().unwrap_err();
    assert!(matches!(end, LogError::MissingTopic { .. } | LogError::OutOfRange { .. }), "{end}");
    assert_eq!(reader.next().await.unwrap_err(), end, "the end stays the end");
    let log = created(settings).await;
    let after = log.identity().await.unwrap();
    assert_eq!(before.cluster_id, after.cluster_id);
    assert_ne!(before.topic_id, after.topic_id);
}

#[tokio::test]
async fn a_restarted_broker_loses_nothing() {
    require!(Kafka);
    let kafka = KafkaServer::start(KafkaOptions::default()).await.unwrap();
    let log = created(LogSettings::at(kafka.bootstrap())).await;
    log.append(Topic::All, None, NewRecord::of("0")).await.unwrap();
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    reader.next().await.unwrap();
    kafka.kill9().await.unwrap();
    let during = log.append_now(Topic::All, None, NewRecord::of("1"));
    let behind = log.append_now(Topic::All, None, NewRecord::of("2"));
    // The reader waits on, and says why.
    let troubled = async {
        while reader.trouble().is_none() {
            let waited = timeout(Duration::from_millis(100), reader.next()).await;
            assert!(waited.is_err(), "{waited:?}");
        }
    };
    timeout(PATIENCE, troubled).await.unwrap();
    kafka.restart().await.unwrap();
    assert_eq!(timeout(PATIENCE, during).await.unwrap().unwrap().offset, Offset::new(1));
    assert_eq!(timeout(PATIENCE, behind).await.unwrap().unwrap().offset, Offset::new(2));
    for offset in [1, 2] {
        let record = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
        assert_eq!(record.offset, Offset::new(offset));
    }
    assert_eq!(reader.trouble(), None);
}

#[tokio::test]
async fn an_append_that_cannot_be_sent_is_not_appended() {
    require!(Kafka);
    let kafka = KafkaServer::start(KafkaOptions::default()).await.unwrap();
    let mut settings = LogSettings::at(kafka.bootstrap());
    settings.kafka_properties = vec![("message.timeout.ms".into(), "1500".into())];
    settings.deadline = Duration::from_secs(2);
    let log = created(settings).await;
    log.append(Topic::All, None, NewRecord::of("0")).await.unwrap();
    kafka.stop().await.unwrap();
    // A frozen broker may have it; a dead one can't.
    let open = timeout(PATIENCE, log.append(Topic::All, None, NewRecord::of("1"))).await.unwrap().unwrap_err();
    assert!(matches!(open, LogError::OutcomeOpen { .. }), "{open}");
    let error = log.range(Topic::All, 0).await.unwrap_err();
    assert!(matches!(error, LogError::Unreachable { .. }), "{error}");
    kafka.kill9().await.unwrap();
    timeout(PATIENCE, async {
        loop {
            match log.append(Topic::All, None, NewRecord::of("2")).await.unwrap_err() {
                LogError::NotAppended { .. } => break,
                other => assert!(matches!(other, LogError::OutcomeOpen { .. }), "{other}"),
            }
        }
    })
    .await
    .unwrap();
    kafka.restart().await.unwrap();
    // The idempotent producer goes on, though it gave up some records.
    timeout(PATIENCE, async { while log.append(Topic::All, None, NewRecord::of("3")).await.is_err() {} })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_open_transaction_is_a_stall() {
    require!(Kafka);
    let log = created(settings_on_kafka("stall").await).await;
    let name = log.names().name(Topic::All);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", shared_kafka().await.bootstrap()).set("transactional.id", &name);
    let foreign: BaseProducer = config.create().unwrap();
    if LogServer::chosen() == LogServer::Broker {
        return transactions_are_refused(foreign).await;
    }
    let foreign = tokio::task::spawn_blocking(move || {
        foreign.init_transactions(PATIENCE).unwrap();
        foreign.begin_transaction().unwrap();
        foreign.send(BaseRecord::<(), str>::to(&name).payload("open")).unwrap();
        foreign.flush(PATIENCE).unwrap();
        foreign
    })
    .await
    .unwrap();
    let behind = log.append(Topic::All, None, NewRecord::of("behind")).await.unwrap();
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let stalled = async {
        while reader.stalled_for().is_none() {
            let waited = timeout(Duration::from_secs(1), reader.next()).await;
            assert!(waited.is_err(), "{waited:?}");
        }
    };
    timeout(PATIENCE, stalled).await.unwrap();
    tokio::task::spawn_blocking(move || foreign.abort_transaction(PATIENCE).unwrap()).await.unwrap();
    // The aborted record and its marker are a hole.
    assert_eq!(timeout(PATIENCE, reader.next()).await.unwrap().unwrap().offset, behind.offset);
    log.append(Topic::All, None, NewRecord::of("after")).await.unwrap();
    assert_eq!(timeout(PATIENCE, reader.next()).await.unwrap().unwrap().offset, behind.offset.next().next());
}

/// The embedded broker has none, and says so at once: there, nothing can stall behind one.
async fn transactions_are_refused(foreign: BaseProducer) {
    let refused = tokio::task::spawn_blocking(move || foreign.init_transactions(PATIENCE).unwrap_err());
    let code = refused.await.unwrap().rdkafka_error_code();
    assert_eq!(code, Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed));
}

#[tokio::test]
async fn bad_settings_and_a_wrong_address_say_what_to_do() {
    let bad = |name: &str, value: &str| {
        let mut settings = LogSettings::at("127.0.0.1:1");
        settings.kafka_properties = vec![(name.into(), value.into())];
        settings.connecting = Duration::from_millis(300);
        Log::connect(settings)
    };
    let error = bad("no.such.name", "1").await.unwrap_err().to_string();
    assert!(error.contains("--kafka-property no.such.name: No such configuration property"), "{error}");
    let error = bad("linger.ms", "soon").await.unwrap_err().to_string();
    assert!(error.contains("--kafka-property linger.ms: Invalid value"), "{error}");
    let error = bad("sasl.jaas.config", "password=geheim").await.unwrap_err().to_string();
    assert!(error.contains("sasl.jaas.config") && !error.contains("geheim"), "{error}");
    let error = bad("linger.ms", "1").await.unwrap_err();
    assert!(matches!(&error, LogError::Unreachable { doing, .. } if doing == "connecting to 127.0.0.1:1"), "{error}");
}

/// Nothing listens there: said while it is waited for, with the reason, and long before the wait is over.
#[tokio::test]
async fn a_wait_for_kafka_is_said_with_its_reason() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = LogSettings { connecting: Duration::from_secs(4), ..LogSettings::at(free.to_string()) };
    let (begun, mut said) = (Instant::now(), Vec::new());
    let error = Log::connect_saying(settings, |wait| said.push((begun.elapsed(), wait.to_owned()))).await.unwrap_err();
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(4) && took < Duration::from_secs(8), "{took:?}");
    let [(after, wait)] = said.as_slice() else { panic!("said once: {said:?}") };
    assert!(*after < Duration::from_secs(3), "{after:?}");
    for part in
        [format!("waiting for Kafka at {free} (at most 4 s)"), "Connection refused".into(), "--bootstrap".into()]
    {
        assert!(wait.contains(&part), "{part} in {wait}");
    }
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

/// Prints the way of one record: append to read, and append to acknowledgement. Fails only when it is absurdly long.
#[tokio::test]
async fn a_record_is_read_soon_after_it_is_appended() {
    require!(Kafka);
    let log = created(settings_on_kafka("latency").await).await;
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let (mut read, mut acknowledged) = (Vec::new(), Vec::new());
    for number in 0..600 {
        let begun = Instant::now();
        let append = log.append_now(Topic::All, None, NewRecord::of(vec![b'x'; 200]));
        let append = async { append.await.map(|_| begun.elapsed()).unwrap() };
        let next = async { reader.next().await.map(|_| begun.elapsed()).unwrap() };
        let (append, next) = tokio::join!(append, next);
        if number >= 100 {
            read.push(next);
            acknowledged.push(append);
        }
    }
    for (what, times) in [("append to read", &mut read), ("append to acknowledgement", &mut acknowledged)] {
        times.sort();
        let at = |share: usize| times[times.len() * share / 100];
        println!("{what}: p50 {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
    }
    assert!(read[read.len() / 2] < Duration::from_millis(250));
}
