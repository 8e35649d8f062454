//! The listener: the task that owns the consumer of RESPONSES and feeds [`Pending`](crate::pending::Pending).
//!
//! It starts at the place where the partition ended before the client's first send, so no answer is missed.

use crate::alarms::Alarm;
use crate::answers::Answered;
use crate::connection::Connection;
use crate::parts::{Arrived, RawResponse};
use kluster_log::{LogError, Reader, Record};
use kluster_protocol::{Offset, RequestTopic, Topic};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Records taken at once.
const BATCH: usize = 1000;
/// Between attempts to read on.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until the client is closed or the log fails for good.
pub(crate) async fn run(connection: Arc<Connection>, mut reader: Reader, mut next: Offset) {
    let stop = connection.stop.clone();
    loop {
        let batch = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            batch = reader.next_batch(BATCH) => batch,
        };
        match batch {
            Ok(records) => {
                for record in records {
                    next = record.offset.next();
                    take(&connection, &record);
                }
            }
            Err(error) => match tokio::select! {
                biased;
                () = stop.cancelled() => return,
                again = read_on(&connection, next, error) => again,
            } {
                Ok(again) => (reader, next) = again,
                Err(error) => return connection.fail(error),
            },
        }
    }
}

/// Reads anew after an error, as near as possible to where reading ended.
async fn read_on(connection: &Connection, next: Offset, mut error: LogError) -> Result<(Reader, Offset), LogError> {
    let partition = connection.reply_partition;
    let mut from = next;
    loop {
        match error {
            LogError::Unreachable { .. } => {
                tracing::warn!(%error, "RESPONSES cannot be read; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            LogError::OutOfRange { start, end, .. } => {
                from = if next < start { start } else { end };
                connection.raise(Alarm::AnswersMissed { from: next, to: from });
            }
            fatal => return Err(fatal),
        }
        match connection.log.read(Topic::Responses, partition, from).await {
            Ok(reader) => return Ok((reader, from)),
            Err(again) => error = again,
        }
    }
}

/// Gives one response to who waits for it. What is no response is somebody's error, not this client's.
fn take(connection: &Connection, record: &Record) {
    let Some(value) = &record.value else { return };
    let response: RawResponse = match serde_json::from_slice(value) {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(partition = record.partition, offset = %record.offset, %error, "a record of RESPONSES is no response");
            return;
        }
    };
    compare(connection, &response);
    connection.pending.deliver(Arrived { response, bytes: value.len() });
}

/// Compares the node's chain with what others said at the same offset, whether or not somebody still waits.
fn compare(connection: &Connection, response: &RawResponse) {
    if response.part.unwrap_or_default() > 0 || response.chain.is_none() {
        return;
    }
    let answered = Answered::by(response);
    let mut witness = connection.witness.lock().unwrap_or_else(PoisonError::into_inner);
    let alarm = witness.differs(&answered);
    if response.request_topic == RequestTopic::All && connection.pending.awaits(&response.request_id) {
        witness.remember(answered, Instant::now());
    }
    drop(witness);
    if let Some(alarm) = alarm {
        connection.raise(alarm);
    }
}
