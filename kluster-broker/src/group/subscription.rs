//! Which topics the members of a group of type `consumer` read: the one thing the broker reads out of their metadata, so that offsets in use
//! are not deleted.

use super::{CONSUMER, Group};
use bytes::{Buf, Bytes};
use std::collections::BTreeSet;

impl Group {
    /// The topics that some member subscribes to; none where that cannot be known: another type of group, or metadata in another form.
    pub(crate) fn subscribed(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return None;
        }
        let mut subscribed = BTreeSet::new();
        for member in self.members.values() {
            for protocol in &member.protocols {
                subscribed.extend(topics(protocol.metadata.clone())?);
            }
        }
        Some(subscribed)
    }

    /// Must offsets of this topic stay? Unsure means yes.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        let unsure = self.protocol_type.as_deref() == Some(CONSUMER);
        self.subscribed().map_or(unsure, |topics| topics.contains(topic))
    }
}

/// The beginning that all versions of Kafka's ConsumerProtocolSubscription share: version, then topic names.
fn topics(mut metadata: Bytes) -> Option<Vec<String>> {
    metadata.try_get_i16().ok()?;
    let count = metadata.try_get_i32().ok()?;
    let mut topics = Vec::new(); // grows with what is there: the count is not to be trusted
    for _ in 0..count {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        if metadata.remaining() < length {
            return None;
        }
        let name = metadata.split_to(length);
        topics.push(String::from_utf8(name.to_vec()).ok()?);
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::topics;
    use bytes::{BufMut, Bytes, BytesMut};

    pub(crate) fn subscription(names: &[&str]) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_i16(3);
        bytes.put_i32(names.len() as i32);
        for name in names {
            bytes.put_i16(name.len() as i16);
            bytes.put_slice(name.as_bytes());
        }
        bytes.put_slice(b"user data and whatever later versions add");
        bytes.freeze()
    }

    #[test]
    fn topics_are_read_from_every_version() {
        assert_eq!(topics(subscription(&["a", "orders"])), Some(vec!["a".to_owned(), "orders".to_owned()]));
        assert_eq!(topics(subscription(&[])), Some(vec![]));
    }

    #[test]
    fn what_is_no_subscription_is_not_guessed_at() {
        assert_eq!(topics(Bytes::new()), None);
        assert_eq!(topics(Bytes::from_static(&[0, 0, 0x7f, 0xff, 0xff, 0xff])), None);
        assert_eq!(topics(Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0xff, 0xff])), None);
        assert_eq!(topics(Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0, 9, b'x'])), None);
    }
}
