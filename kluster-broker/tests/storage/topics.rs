//! The catalogue: topics, settings, ids, the lock.

use super::batches::{Store, all, batch, reopened, store};
use kafka_protocol::error::ResponseError;
use kluster_broker::fault::disk::{DiskFaults, SyncPoint};
use kluster_broker::partition::AppendError;
use kluster_broker::topic_config::{ConfigChange, ConfigKind};
use kluster_broker::topics::{OpenError, TopicError, Topics};
use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

fn pairs(configs: &[(&str, &str)]) -> Vec<(String, String)> {
    configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn topics_keep_name_id_partitions_and_settings_across_starts() {
    let dir = tempfile::tempdir().unwrap();
    let topics = Topics::open(dir.path(), Arc::default()).unwrap();
    let made = topics.create("a.b_c-D9", 3, &pairs(&[("retention.ms", "5")])).unwrap();
    let cluster_id = topics.cluster_id();
    let more = topics.add_partitions("a.b_c-D9", 5).unwrap();
    assert_eq!((more.topic_id, more.partitions), (made.topic_id, 5));
    drop(topics);
    let topics = reopened(dir.path());
    assert_eq!(topics.cluster_id(), cluster_id);
    assert_eq!(topics.list(), [topics.get("a.b_c-D9").unwrap()]);
    let found = topics.by_id(made.topic_id).unwrap();
    assert_eq!((found.name.as_str(), found.partitions, found.configs.retention_ms), ("a.b_c-D9", 5, Some(5)));
    assert!(topics.partition("a.b_c-D9", 4).is_some());
    assert!(topics.partition("a.b_c-D9", 5).is_none() && topics.partition("a.b_c-D9", -1).is_none());
}

#[test]
fn partitions_of_all_topics_have_one_bound() {
    let dir = tempfile::tempdir().unwrap();
    let topics = Topics::open_with(dir.path(), Arc::default(), 5).unwrap();
    topics.create("a", 3, &[]).unwrap();
    topics.create("b", 2, &[]).unwrap();
    let refused = topics.create("c", 1, &[]).unwrap_err();
    assert_eq!(refused.response(), ResponseError::PolicyViolation);
    assert!(refused.to_string().contains("there are 5"), "{refused}");
    assert_eq!(topics.check_new("c", 1, &[]).unwrap_err().response(), ResponseError::PolicyViolation);
    assert_eq!(topics.add_partitions("a", 4).unwrap_err().response(), ResponseError::PolicyViolation);
    topics.delete("b").unwrap();
    topics.add_partitions("a", 5).unwrap();
    drop(topics);
    let topics = Topics::open_with(dir.path(), Arc::default(), 1).unwrap();
    assert!(topics.partition("a", 4).is_some(), "what is there is served");
    assert_eq!(topics.create("c", 1, &[]).unwrap_err().response(), ResponseError::PolicyViolation);
}

#[test]
fn what_cannot_be_created_or_grown_is_refused_with_kafkas_errors() {
    let it = Store::new(&[]);
    let create = |name: &str, partitions, configs: &[(&str, &str)]| {
        it.topics.create(name, partitions, &pairs(configs)).map(drop).map_err(|error| error.response())
    };
    assert_eq!(create("t", 1, &[]), Err(ResponseError::TopicAlreadyExists));
    for name in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(250)] {
        assert_eq!(create(name, 1, &[]), Err(ResponseError::InvalidTopicException), "{name}");
    }
    for partitions in [0, -1, 10_001] {
        assert_eq!(create("u", partitions, &[]), Err(ResponseError::InvalidPartitions));
    }
    let long = "0:1,".repeat(100);
    for wrong in [
        ("no.such", "1"),
        ("retention.ms", "soon"),
        ("retention.ms", "-2"),
        ("cleanup.policy", "burn"),
        ("leader.replication.throttled.replicas", &long),
    ] {
        assert_eq!(create("u", 1, &[wrong]), Err(ResponseError::InvalidConfig), "{wrong:?}");
    }
    let grow = |name: &str, total| it.topics.add_partitions(name, total).map(drop).map_err(|error| error.response());
    assert_eq!(grow("t", 1), Err(ResponseError::InvalidPartitions));
    assert_eq!(grow("u", 2), Err(ResponseError::UnknownTopicOrPartition));
    assert_eq!(it.topics.delete("u").unwrap_err().response(), ResponseError::UnknownTopicOrPartition);
    assert_eq!(it.topics.list().len(), 1);
}

#[tokio::test]
async fn a_deleted_topic_is_gone_with_its_records_and_a_new_one_of_that_name_is_empty() {
    let it = Store::new(&[]);
    let old_id = it.topics.get("t").unwrap().topic_id;
    store(&it.partition, batch(&["old"])).await.unwrap();
    let mut watch = it.partition.watch();
    watch.mark_unchanged();
    it.topics.delete("t").unwrap();
    assert!(watch.has_changed().unwrap(), "waiting readers are woken");
    assert_eq!(it.partition.append(batch(&["late"]), 0), Err(AppendError::Deleted));
    assert_eq!(it.partition.durable(5).await, Err(AppendError::Deleted));
    let error = it.partition.read(0, 1, true).unwrap_err();
    assert_eq!(error.response(), ResponseError::UnknownTopicOrPartition);
    assert!(it.topics.get("t").is_none());
    it.topics.create("t", 1, &[]).unwrap();
    let it = it.restarted();
    assert_ne!(it.topics.get("t").unwrap().topic_id, old_id);
    assert!(all(&it.partition).is_empty());
}

#[tokio::test]
async fn what_a_crash_left_of_a_topic_is_no_topic() {
    let it = Store::new(&[]);
    store(&it.partition, batch(&["old"])).await.unwrap();
    let dir = it.crash();
    // As if the crash had come after the catalogue forgot the topic and before its directory went, or before the catalogue had it.
    let topics = reopened(dir.path());
    topics.create("u", 1, &[]).unwrap();
    drop(topics);
    fs::rename(dir.path().join("u-0"), dir.path().join("v-0")).unwrap();
    fs::create_dir(dir.path().join("0123-deleted")).unwrap();
    fs::create_dir_all(dir.path().join("u-0")).unwrap();
    fs::copy(dir.path().join("t-0/00000000000000000000.log"), dir.path().join("v-0/00000000000000000000.log")).unwrap();
    let topics = reopened(dir.path());
    assert!(!dir.path().join("0123-deleted").exists());
    assert!(topics.get("v").is_none());
    topics.create("v", 1, &[]).unwrap();
    assert!(all(&topics.partition("v", 0).unwrap()).is_empty());
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let it = Store::new(&[]);
    let error = Topics::open(it.dir.path(), Arc::default()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Lock(_)));
    assert!(text.contains(&std::process::id().to_string()) && text.contains(it.dir.path().to_str().unwrap()), "{text}");
}

#[test]
fn a_lost_or_damaged_catalogue_is_refused_not_replaced() {
    let dir = Store::new(&[]).crash();
    let catalogue = dir.path().join("topics.json");
    let kept = fs::read(&catalogue).unwrap();
    for damage in ["", "{}", "not json"] {
        fs::write(&catalogue, damage).unwrap();
        let error = super::batches::try_reopened(dir.path()).unwrap_err();
        assert!(error.to_string().contains(catalogue.to_str().unwrap()), "{error}");
    }
    fs::remove_file(&catalogue).unwrap();
    let error = super::batches::try_reopened(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::NoCatalogue { .. }), "{error}");
    fs::write(&catalogue, kept).unwrap();
    assert!(reopened(dir.path()).get("t").is_some());
}

#[test]
fn a_producer_id_is_never_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut given = HashSet::new();
    for count in [1, 2, 1500, 3] {
        let topics = reopened(dir.path());
        for _ in 0..count {
            assert!(given.insert(topics.next_producer_id().unwrap()));
        }
    }
}

#[test]
fn settings_are_changed_listed_and_described() {
    let it = Store::new(&[("retention.ms", "5")]);
    let alter = |changes: &[(&str, ConfigChange)]| {
        let changes: Vec<_> = changes.iter().map(|(name, change)| ((*name).to_owned(), change.clone())).collect();
        it.topics.alter("t", &changes).map(|info| info.configs)
    };
    let value = |name: &str| it.topics.get("t").unwrap().configs.value(name).unwrap().to_owned();
    alter(&[("cleanup.policy", ConfigChange::Append("compact".into()))]).unwrap();
    assert_eq!(value("cleanup.policy"), "delete,compact");
    alter(&[("cleanup.policy", ConfigChange::Subtract("delete".into())), ("retention.ms", ConfigChange::Delete)])
        .unwrap();
    assert_eq!((value("cleanup.policy").as_str(), value("retention.ms").as_str()), ("compact", "604800000"));
    let refused = [
        ("cleanup.policy", ConfigChange::Subtract("compact".into())),
        ("retention.ms", ConfigChange::Append("1".into())),
        ("min.cleanable.dirty.ratio", ConfigChange::Set("1.5".into())),
        ("max.message.bytes", ConfigChange::Set("3000000000".into())),
        ("preallocate", ConfigChange::Set("yes".into())),
        ("compression.type", ConfigChange::Set("gzip".into())),
    ];
    for change in refused {
        let both = [("segment.ms", ConfigChange::Set("9".into())), change.clone()];
        assert!(matches!(alter(&both), Err(TopicError::Config(_))), "{change:?}");
        assert_eq!(value("segment.ms"), "604800000", "all or nothing");
    }
    it.topics.replace_configs("t", &pairs(&[("segment.ms", "9")])).unwrap();
    let it = it.restarted();
    let entries = it.topics.get("t").unwrap().configs.entries();
    let explicit: Vec<_> = entries.iter().filter(|entry| entry.explicit).collect();
    assert_eq!(explicit.len(), 1);
    assert_eq!((explicit[0].name, explicit[0].value.as_str(), explicit[0].kind), ("segment.ms", "9", ConfigKind::Long));
    assert!(entries.iter().all(|entry| entry.explicit || entry.value == entry.default));
}

#[test]
fn requests_do_not_wait_while_a_change_of_topics_waits_for_the_disk() {
    let (arrives, arrived) = mpsc::channel();
    let (let_through, passes) = mpsc::channel::<()>();
    let passes = Mutex::new(passes);
    let held = Arc::new(AtomicBool::new(false));
    let hold = Arc::clone(&held);
    let faults = DiskFaults::default().with_sync_hook(move |point, _| {
        if point == SyncPoint::Before && hold.load(Ordering::SeqCst) {
            let _ = arrives.send(());
            let _ = passes.lock().unwrap().recv();
        }
        Ok(())
    });
    let it = Store::with_faults(&[], Arc::new(faults));
    held.store(true, Ordering::SeqCst);
    let topics = it.topics.clone();
    let creating = std::thread::spawn(move || topics.create("u", 1, &[]).map(drop));
    arrived.recv_timeout(Duration::from_secs(20)).unwrap();
    let (found, looked) = mpsc::channel();
    let topics = it.topics.clone();
    std::thread::spawn(move || found.send((topics.partition("t", 0).is_some(), topics.get("u").is_none())));
    assert_eq!(looked.recv_timeout(Duration::from_secs(20)), Ok((true, true)));
    drop(let_through);
    creating.join().unwrap().unwrap();
}

#[tokio::test]
async fn what_a_failed_change_of_topics_means_is_the_same_before_and_after_a_start() {
    let mut failed = 0;
    for nth in 1.. {
        let faults = Arc::new(DiskFaults::default());
        let it = Store::with_faults(&[], Arc::clone(&faults));
        faults.fail_change(nth);
        let deleted = it.topics.delete("t").is_ok();
        faults.fail_change(0);
        let stored = store(&it.partition, batch(&["a"])).await.is_ok();
        assert_eq!(it.topics.get("t").is_some(), stored, "change {nth}");
        let dir = it.crash();
        let found = reopened(dir.path()).partition("t", 0).map(|partition| all(&partition).len());
        assert_eq!(found, stored.then_some(1), "change {nth}: what was stored after the deletion failed");
        if deleted {
            break;
        }
        failed += 1;
    }
    assert!(failed >= 5, "the deletion changes nothing");
    for nth in 1.. {
        let faults = Arc::new(DiskFaults::default());
        let it = Store::with_faults(&[], Arc::clone(&faults));
        faults.fail_change(nth);
        let created = it.topics.create("u", 1, &[]).is_ok();
        let done = faults.fails_later();
        faults.fail_change(0);
        let there = it.topics.get("u").is_some();
        assert!(there || !created, "change {nth}");
        assert_eq!(it.topics.create("u", 1, &[]).is_ok(), !there, "change {nth}");
        assert!(reopened(it.crash().path()).get("u").is_some(), "change {nth}");
        if done {
            break;
        }
    }
}
