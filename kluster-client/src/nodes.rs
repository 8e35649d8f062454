//! The watch over NODES: a task that follows the heartbeats and says when a voter comes or goes.

use crate::answers::Answered;
use crate::connection::{Connection, reach};
use crate::voters::Heartbeats;
use kluster_log::{LogError, Reader, Record};
use kluster_protocol::{Heartbeat, NodeId, Topic, header};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Records taken at once.
const BATCH: usize = 1000;
/// Before NODES is read anew after an error.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs until the client is closed. A client that may not read NODES works all the same: its waits end at their deadlines only.
pub(crate) async fn run(connection: Arc<Connection>) {
    let stop = connection.stop.clone();
    let watch = async {
        loop {
            let Err(error) = follow(&connection).await;
            tracing::warn!(%error, "NODES cannot be read: waits for all nodes do not end early when a node is gone");
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = watch => {}
    }
}

/// Follows the heartbeats from the topic's start.
async fn follow(connection: &Connection) -> Result<std::convert::Infallible, LogError> {
    let mut reader = open(connection).await?;
    let mut heartbeats = Heartbeats::new(connection.options.gone_after, Instant::now());
    loop {
        tokio::select! {
            biased;
            batch = reader.next_batch(BATCH) => {
                for record in batch? {
                    hear(connection, &mut heartbeats, &record);
                }
            }
            () = reach(heartbeats.next_silence(Instant::now())) => {
                // While the broker is out of reach, silence says nothing of the nodes.
                if reader.trouble().is_some() {
                    continue;
                }
            }
        }
        connection.heard(heartbeats.voters(Instant::now()));
    }
}

async fn open(connection: &Connection) -> Result<Reader, LogError> {
    let mut from = Vec::new();
    for partition in 0..connection.log.partitions(Topic::Nodes).await? {
        from.push((partition, connection.log.range(Topic::Nodes, partition).await?.start));
    }
    connection.log.read_many(Topic::Nodes, from).await
}

fn hear(connection: &Connection, heartbeats: &mut Heartbeats, record: &Record) {
    if record.header(header::KIND).is_some() {
        // A report of a check: nothing to clients.
        return;
    }
    let key = record.key.as_deref().map(String::from_utf8_lossy);
    match (&record.value, key) {
        (Some(value), _) => match serde_json::from_slice::<Heartbeat>(value) {
            Ok(heartbeat) => {
                compare(connection, &heartbeat);
                heartbeats.hear(heartbeat, Instant::now());
            }
            Err(error) => tracing::warn!(offset = %record.offset, %error, "a record of NODES is no heartbeat"),
        },
        (None, Some(name)) => heartbeats.forget(&NodeId::new(name)),
        (None, None) => {}
    }
}

/// A heartbeat names a chain too: compares it with what was answered at that offset.
fn compare(connection: &Connection, heartbeat: &Heartbeat) {
    let answered = Answered {
        node_id: heartbeat.node_id.clone(),
        offset: heartbeat.applied,
        chain: heartbeat.chain.map(|chain| chain.short()),
    };
    let alarm = connection.witness.lock().unwrap_or_else(PoisonError::into_inner).differs(&answered);
    if let Some(alarm) = alarm {
        connection.raise(alarm);
    }
}
