//! What the APIs of groups do in the same way. Everything that stays is copied: what lies in a request keeps its whole frame in memory.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

use crate::group::Identity;

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
