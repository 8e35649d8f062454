//! What the APIs of groups do in the same way. Everything that stays is copied: what lies in a request keeps its whole frame in memory. What is
//! answered may be much larger than what was asked, so a large answer waits for memory.

use bytes::Bytes;
use kafka_protocol::protocol::{Encodable, StrBytes};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

use super::{Answer, Call, LARGEST_ANSWER};
use crate::frame;
use crate::group::Identity;

/// An answer that is smaller waits for nothing.
const SMALL_BYTES: usize = 64 * 1024;

/// An answer, with the memory that its frame takes until it is written.
pub(super) async fn sized<R: Encodable>(call: &Call, response: R) -> Answer<R> {
    let bytes = response.compute_size(call.version).unwrap_or_default(); // a mistake is said where it is encoded
    with_memory(response, memory(call, bytes).await)
}

/// Memory for an answer of so many bytes, when it is there; none for a small one. More than the largest fetch takes is not asked for: there may
/// be no more in all.
pub(super) async fn memory(call: &Call, bytes: usize) -> Option<OwnedSemaphorePermit> {
    if bytes <= SMALL_BYTES {
        return None;
    }
    Some(frame::grant(&call.shared.answer_memory, bytes.min(LARGEST_ANSWER)).await)
}

pub(super) fn with_memory<R>(response: R, memory: Option<OwnedSemaphorePermit>) -> Answer<R> {
    match memory {
        Some(memory) => Answer::Sized(response, memory),
        None => Answer::Send(response),
    }
}

pub(super) fn identity(member_id: &StrBytes, instance_id: Option<&StrBytes>) -> Identity {
    Identity { member_id: member_id.to_string(), instance_id: instance_id.map(StrBytes::to_string) }
}

pub(super) fn copied(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// Kafka's times are signed; none is negative.
pub(super) fn milliseconds(milliseconds: i32) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}
