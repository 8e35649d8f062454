//! EndRead: a record of ONE by which a client gives a read up that it sent before.
//!
//! It lies behind the read, in the same partition, so that the node that took the read takes this as well. The header [`crate::header::KIND`] tells
//! it from a request ([`crate::Kind::END_READ`]).

use crate::{ClientId, MessageId};
use serde::{Deserialize, Serialize};

/// The read with this id, sent by this client, need not be answered with rows. The node that waits with it, or executes it, ends it and answers
/// `cancelled`; a node that has answered it, or never saw it, does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndRead {
    /// The read's `clientId`.
    pub client_id: ClientId,
    /// The read's `messageId`. It has another name, so that a node that does not know this record answers nobody who waits.
    pub ends: MessageId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    #[test]
    fn an_earlier_node_takes_it_for_no_request_of_anybody() {
        let end = EndRead { client_id: "c".into(), ends: "m1".into() };
        let text = serde_json::to_string(&end).unwrap();
        assert_eq!(text, r#"{"clientId":"c","ends":"m1"}"#);
        assert_eq!(serde_json::from_str::<EndRead>(&text).unwrap(), end);
        let bad = Request::parse(Some(text.as_bytes())).unwrap_err();
        assert_eq!(bad.message_id, None);
    }
}
