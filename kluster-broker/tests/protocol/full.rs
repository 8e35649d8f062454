//! A full disk, seen over a socket: writes are refused with words, reads go on, and writing goes on by itself when there is room.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kluster_broker::fault::disk::DiskFaults;

use crate::client::batch;
use crate::fetching::fetch_all;
use crate::producing::produce;
use crate::serve_with;

#[tokio::test]
async fn a_full_disk_refuses_with_words_and_serves_reads() {
    let faults = Arc::new(DiskFaults::default());
    let given = Arc::clone(&faults);
    let served = serve_with(|settings| settings.disk_faults = given).await;
    let mut client = served.with_topic("full", 1).await;
    let mut full = served.broker.disk_full();
    assert_eq!(produce(&mut client, 9, "full", 0, batch(&["before"])).await.error_code, 0);
    assert!(!*full.borrow_and_update());

    faults.set_space(Some(0));
    let refused = produce(&mut client, 9, "full", 0, batch(&["too much"])).await;
    assert_eq!(refused.error_code, ResponseError::KafkaStorageError.code());
    let words = refused.error_message.unwrap_or_default();
    assert!(words.contains("no space left on the disk") && words.contains("free some"), "{words}");
    assert!(full.has_changed().unwrap() && *full.borrow_and_update(), "whoever runs the broker is told");
    assert_eq!(fetch_all(&mut client, "full", 0).await, [(0, "before".into())]);

    faults.set_space(None);
    assert_eq!(produce(&mut client, 9, "full", 0, batch(&["after"])).await.base_offset, 1);
    assert!(full.has_changed().unwrap() && !*full.borrow_and_update());
    assert_eq!(fetch_all(&mut client, "full", 0).await, [(0, "before".into()), (1, "after".into())]);
}
