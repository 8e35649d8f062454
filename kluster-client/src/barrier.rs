//! Barriers: places in ALL that strong reads wait for. A task appends them, one at a time.
//!
//! Invariant: a barrier is shared only by reads that were waiting when it was handed to the producer, so it lies behind every write that was
//! acknowledged before any of them began. The end that a broker tells would not do: it is not linearizable, and may be a marker that no record
//! reaches.

use crate::connection::Connection;
use kluster_log::{LogError, NewRecord};
use kluster_protocol::{Control, Kind, Offset, Topic, header};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// A read that waits for its barrier's offset.
pub(crate) type Asked = oneshot::Sender<Result<Offset, LogError>>;

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs until the client is closed.
pub(crate) async fn run(connection: Arc<Connection>, mut asked: mpsc::UnboundedReceiver<Asked>) {
    let stop = connection.stop.clone();
    let work = async {
        while let Some(first) = asked.recv().await {
            serve(&connection, vec![first], &mut asked).await;
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Appends a barrier for all who wait now; tries again, for all who wait then, until it is in the log or nobody waits any more.
async fn serve(connection: &Connection, mut waiting: Vec<Asked>, asked: &mut mpsc::UnboundedReceiver<Asked>) {
    loop {
        while let Ok(another) = asked.try_recv() {
            waiting.push(another);
        }
        waiting.retain(|read| !read.is_closed());
        if waiting.is_empty() {
            return;
        }
        let at = Instant::now();
        let result = connection.log.append_now(Topic::All, Some(0), record()).await;
        match result {
            Ok(placed) => {
                connection.end.learn(placed.offset, at);
                return answer(waiting, Ok(placed.offset));
            }
            Err(LogError::NotAppended { .. } | LogError::OutcomeOpen { .. } | LogError::Unreachable { .. }) => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return answer(waiting, Err(error)),
        }
    }
}

fn answer(waiting: Vec<Asked>, result: Result<Offset, LogError>) {
    for read in waiting {
        let _ = read.send(result.clone()); // the read may have ended
    }
}

fn record() -> NewRecord {
    let barrier = serde_json::to_vec(&Control::Barrier).expect("a barrier has no content that JSON lacks");
    NewRecord::of(barrier).header(header::KIND, Kind::CONTROL)
}
