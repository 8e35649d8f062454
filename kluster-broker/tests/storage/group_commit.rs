//! Durable before anyone hears of it, one fdatasync for all who wait, and what follows from one that fails.

use super::batches::{Store, all, batch, store};
use kafka_protocol::error::ResponseError;
use kluster_broker::fault::disk::{DiskFaults, SyncPoint};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Holds every fdatasync of a log until it is let through.
struct Gate {
    arrived: tokio::sync::mpsc::UnboundedReceiver<()>,
    let_through: mpsc::Sender<()>,
}

impl Gate {
    fn new() -> (Self, DiskFaults) {
        let (arrives, arrived) = tokio::sync::mpsc::unbounded_channel();
        let (let_through, passes) = mpsc::channel();
        let passes = Mutex::new(passes);
        let faults = DiskFaults::default().with_sync_hook(move |point, path: &Path| {
            if point == SyncPoint::Before && is_log(path) {
                let _ = arrives.send(());
                let _ = passes.lock().unwrap().recv(); // or the test has ended
            }
            Ok(())
        });
        (Self { arrived, let_through }, faults)
    }

    /// Until an fdatasync is held.
    async fn arrived(&mut self) {
        tokio::time::timeout(Duration::from_secs(20), self.arrived.recv()).await.expect("no fdatasync").unwrap();
    }

    fn store(configs: &[(&str, &str)]) -> (Self, Store) {
        let (gate, faults) = Self::new();
        (gate, Store::with_faults(configs, Arc::new(faults)))
    }
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

async fn pending<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    tokio::time::timeout(Duration::ZERO, future).await.is_err()
}

#[tokio::test]
async fn nothing_is_readable_or_confirmed_before_the_fdatasync() {
    let (mut gate, it) = Gate::store(&[]);
    let appended = it.partition.append(batch(&["a"]), 0).unwrap();
    let mut watch = it.partition.watch();
    let mut durable = Box::pin(it.partition.durable(appended.next_offset));
    gate.arrived().await;
    assert!(pending(&mut durable).await);
    assert_eq!((it.partition.offsets().high_watermark, it.partition.offsets().log_end), (0, 1));
    assert!(it.partition.read(0, 1 << 20, true).unwrap().is_empty());
    assert!(!watch.has_changed().unwrap());
    gate.let_through.send(()).unwrap();
    durable.await.unwrap();
    assert_eq!(*watch.borrow_and_update(), 1);
    assert_eq!(all(&it.partition), [(0, "a".into())]);
}

#[tokio::test]
async fn one_fdatasync_serves_all_who_wait() {
    let (mut gate, it) = Gate::store(&[]);
    it.partition.append(batch(&["first"]), 0).unwrap();
    gate.arrived().await;
    let clients: Vec<_> = (0..64)
        .map(|client| {
            let partition = it.partition.clone();
            tokio::spawn(async move { store(&partition, batch(&[&format!("c{client}")])).await.unwrap() })
        })
        .collect();
    let all_written = async {
        while it.partition.offsets().log_end < 65 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all_written).await.unwrap();
    gate.let_through.send(()).unwrap(); // the first
    gate.arrived().await;
    assert_eq!(it.partition.offsets().high_watermark, 1);
    gate.let_through.send(()).unwrap(); // all the others
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(it.partition.offsets().high_watermark, 65);
    assert!(gate.arrived.try_recv().is_err(), "a third fdatasync");
}

#[tokio::test]
async fn a_failed_fdatasync_ends_all_writing_until_the_next_start() {
    let failing = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&failing);
    let faults = DiskFaults::default().with_sync_hook(move |point, path: &Path| {
        let fail = point == SyncPoint::Before && is_log(path) && fails.swap(false, Ordering::SeqCst);
        if fail { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    });
    let it = Store::with_faults(&[], Arc::new(faults));
    store(&it.partition, batch(&["kept"])).await.unwrap();
    failing.store(true, Ordering::SeqCst);
    let error = store(&it.partition, batch(&["lost"])).await.unwrap_err();
    assert_eq!(error.response(), ResponseError::KafkaStorageError);
    // The hook would let this one through: it is refused all the same.
    let again = it.partition.append(batch(&["after"]), 0).unwrap_err();
    assert_eq!(again.response(), ResponseError::KafkaStorageError);
    assert_eq!(all(&it.partition), [(0, "kept".into())]);
    assert!(it.topics.close().await.is_err());
    let it = it.restarted();
    assert_eq!(all(&it.partition)[0], (0, "kept".into()));
    store(&it.partition, batch(&["works"])).await.unwrap();
}

#[tokio::test]
async fn an_fdatasync_that_succeeds_after_another_failed_confirms_nothing() {
    // The kernel tells a lost write to one of two callers only. The flusher's call is held until the other one, of a new segment, has failed.
    let (arrives, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let (let_through, passes) = mpsc::channel::<()>();
    let passes = Mutex::new(passes);
    let faults = DiskFaults::default().with_sync_hook(move |point, path: &Path| match std::thread::current().name() {
        _ if point == SyncPoint::After || !is_log(path) => Ok(()),
        Some("flush") => {
            let _ = arrives.send(());
            let _ = passes.lock().unwrap().recv();
            Ok(())
        }
        _ => Err(io::Error::from_raw_os_error(5)),
    });
    let it = Store::with_faults(&[("segment.bytes", "100")], Arc::new(faults));
    let appended = it.partition.append(batch(&["a"]), 0).unwrap();
    arrived.recv().await.unwrap();
    it.partition.append(batch(&["needs a new segment"]), 0).unwrap_err();
    let_through.send(()).unwrap();
    it.partition.durable(appended.next_offset).await.unwrap_err();
    let mut watch = it.partition.watch();
    drop(it);
    while watch.changed().await.is_ok() {} // until the flusher, the last to hold the partition, has done its part
    assert_eq!(*watch.borrow(), 0);
}

#[tokio::test]
async fn two_fdatasyncs_of_one_log_are_never_under_way_at_once() {
    // Else the one that is told of a lost write may be the slower one to say so. Each looks around for a while whether another comes.
    const LOOKS: usize = 20_000;
    let (under_way, together) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (entered, met) = (Arc::clone(&under_way), Arc::clone(&together));
    let faults = DiskFaults::default().with_sync_hook(move |point, path: &Path| {
        if is_log(path) && point == SyncPoint::After {
            entered.fetch_sub(1, Ordering::SeqCst);
        } else if is_log(path) {
            entered.fetch_add(1, Ordering::SeqCst);
            let alone = || {
                std::thread::yield_now();
                entered.load(Ordering::SeqCst) == 1
            };
            let alone = (0..LOOKS).all(|_| alone());
            met.fetch_or(!alone, Ordering::SeqCst);
        }
        Ok(())
    });
    let it = Store::with_faults(&[], Arc::new(faults));
    for _ in 0..20 {
        it.partition.append(batch(&["a"]), 0).unwrap(); // the flusher's
    }
    while under_way.load(Ordering::SeqCst) == 0 && it.partition.offsets().high_watermark == 0 {
        tokio::task::yield_now().await;
    }
    it.topics.close().await.unwrap(); // the checkpoint's
    assert!(!together.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_topic_with_flush_messages_is_acknowledged_with_the_write_and_flushed_after_so_many() {
    let (mut gate, it) = Gate::store(&[("flush.messages", "100")]);
    for _ in 0..99 {
        store(&it.partition, batch(&["a"])).await.unwrap();
    }
    assert_eq!(it.partition.offsets().high_watermark, 99);
    assert!(gate.arrived.try_recv().is_err());
    store(&it.partition, batch(&["a"])).await.unwrap();
    gate.arrived().await;
    gate.let_through.send(()).unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_before_the_disk_had_it_is_flushed_soon() {
    let (mut gate, it) = Gate::store(&[("flush.messages", "100"), ("flush.ms", "1")]);
    let stop = CancellationToken::new();
    let (topics, stopped) = (it.topics.clone(), stop.clone());
    let upkeep = tokio::spawn(async move { topics.maintain(stopped).await });
    store(&it.partition, batch(&["a"])).await.unwrap();
    gate.arrived().await;
    gate.let_through.send(()).unwrap();
    stop.cancel();
    upkeep.await.unwrap();
}

#[tokio::test]
async fn the_unsynced_are_counted_by_the_disk_not_by_the_clients() {
    let syncs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&syncs);
    let faults = DiskFaults::default().with_sync_hook(move |point, path: &Path| {
        counter.fetch_add(usize::from(point == SyncPoint::After && is_log(path)), Ordering::SeqCst);
        Ok(())
    });
    let it = Store::with_faults(&[], Arc::new(faults));
    let before = syncs.load(Ordering::SeqCst);
    for _ in 0..10 {
        store(&it.partition, batch(&["a"])).await.unwrap();
    }
    // One after the other, each has its own.
    assert_eq!(syncs.load(Ordering::SeqCst) - before, 10);
}
