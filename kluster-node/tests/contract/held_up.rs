//! Batches that wait for somebody else's lock, and what the node is told of it.

use crate::contract::at;
use kluster_node::dbms::{Dbms, Held, Ran, Work};
use kluster_node::fault::Fault;
use std::time::Duration;

/// A lock that is not found by then never is.
const PATIENCE: Duration = Duration::from_secs(60);

/// InnoDB shows its transactions anew only when nobody has looked for 0.1 s.
const LOOK: Duration = Duration::from_millis(200);

/// Runs a batch behind offset `predecessor` that waits for somebody, and lets `end` end that as soon as the node is told of it. What it was
/// told, and what came of the batch.
pub async fn held_up(
    db: &mut Dbms,
    predecessor: u64,
    work: Work,
    end: impl AsyncFn(&Held),
) -> (Held, Result<Vec<Ran>, Fault>) {
    let locks = db.locks();
    assert_eq!(locks.held().await, None, "nothing runs");
    let told = async {
        let held = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                if let Some(held) = locks.held().await {
                    return held;
                }
            }
        };
        let held = tokio::time::timeout(PATIENCE, held).await.expect("the node was told who holds it up");
        end(&held).await;
        held
    };
    let works = [work];
    let (ran, held) = tokio::join!(db.run(Some(at(predecessor)), &works), told);
    (held, ran)
}
