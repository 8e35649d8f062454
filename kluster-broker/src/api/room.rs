//! Memory for answers that are larger than what was asked: a few bytes ask for all topics, all groups, every setting. It is granted before the
//! answer is made, for the most that it can be, so that those who wait for it hold nothing; what is not needed is given back as soon as the
//! answer is encoded, and the rest when it was taken.
//!
//! Answers that are no larger than what was asked have none: those to large requests share [`LARGE_ELEMENTS`](crate::frame::shape).

use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Encodable;
use tokio::sync::OwnedSemaphorePermit;

use super::{Answer, Call, Reply};

/// An answer that is smaller waits for nothing.
const SMALL_BYTES: usize = 64 * 1024;
/// A partition's description while it is made, and its part of a topic's.
const PARTITION_BYTES: usize = 512;
/// The description of all settings of a topic while it is made, and encoded.
const CONFIG_BYTES: usize = 16 * 1024;
/// The descriptions of a group in a list while they are made, beside its name.
const GROUP_BYTES: usize = 256;

/// Memory for an answer of so many bytes, when it is there; none for a small one.
pub(super) async fn memory(call: &Call, bytes: usize) -> Option<OwnedSemaphorePermit> {
    if bytes <= SMALL_BYTES {
        return None;
    }
    Some(call.shared.grant_answer(bytes).await)
}

/// An answer, with the memory that its frame takes until it is written. Only for one whose parts are others' until then.
pub(super) async fn sized<R: Encodable>(call: &Call, response: R) -> Answer<R> {
    let bytes = response.compute_size(call.version).unwrap_or_default(); // a mistake is said where it is encoded
    with_memory(response, memory(call, bytes).await)
}

pub(super) fn with_memory<R>(response: R, memory: Option<OwnedSemaphorePermit>) -> Answer<R> {
    match memory {
        Some(memory) => Answer::Sized(response, memory),
        None => Answer::Send(response),
    }
}

/// The most that an answer can be which is made of what the broker holds, not of what is asked; 0 for the others.
pub(super) fn most(call: &Call) -> usize {
    let shared = &call.shared;
    match call.key {
        ApiKey::Metadata | ApiKey::DescribeTopicPartitions | ApiKey::DescribeLogDirs | ApiKey::ListConfigResources => {
            shared.topics.count_partitions() * PARTITION_BYTES
        }
        ApiKey::DescribeConfigs => call.elements.min(shared.topics.count_partitions() + 1) * CONFIG_BYTES,
        ApiKey::ListGroups => shared.coordinator.list_bytes(GROUP_BYTES),
        _ => 0,
    }
}

/// The reply with this memory, unless it brings its own. It keeps as much as its frame takes.
pub(super) fn fitted(reply: Reply, granted: Option<OwnedSemaphorePermit>) -> Reply {
    let Reply::Send { frame, memory } = reply else { return reply };
    let mut memory = memory.or(granted);
    if let Some(granted) = &mut memory {
        drop(granted.split(granted.num_permits().saturating_sub(frame.len())));
    }
    Reply::Send { frame, memory }
}
