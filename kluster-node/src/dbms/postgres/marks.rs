//! Marks: what the node writes between the changes of users into the server's own log, so that each change is known by the request that made it.
//!
//! ```text
//! begin · claim · (mark of the work · savepoint · … · release) per work · mark of the batch · finish · commit
//! ```
//! Neighbours: `script` and `finish` send them (`pg_logical_emit_message`, part of the transaction), `follower` reads them again in the same order.
//!
//! Invariant: users' SQL may write messages too, but none that passes for a mark: each mark carries a hash keyed by a secret that only the owner of Kluster's
//! schema can read. The secret is stored, because marks of an earlier process are read as well.

use kluster_protocol::{Effects, Offset};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Writes a message as a part of the transaction: prefix and content.
///
/// And an empty one behind it: the server orders a message by its end and a row change by its beginning, so that the two have the same place where the
/// change is the very next record, and if that is of another subtransaction, either may come first (seen on PostgreSQL 15).
pub const WRITE: &str = "select pg_catalog.pg_logical_emit_message(true, $1::text, $2::text), \
                                pg_catalog.pg_logical_emit_message(true, $1::text, ''::text)";

/// The prefix of our messages.
pub const PREFIX: &str = "kluster";

/// Hexadecimal digits of the hash before each mark.
const HASH: usize = 32;

/// A mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    /// What follows is of the request at this offset.
    Work {
        /// Its offset.
        offset: Offset,
        /// The last offset that may have changed the schema.
        schema: u64,
    },
    /// The transaction was a batch.
    Batch {
        /// The applied offset before it.
        predecessor: Option<Offset>,
        /// The applied offset after it.
        applied: Offset,
        /// Up to which offset effects are counted in the state row that it stores.
        counted: Option<Offset>,
        /// The digests of the rows that its statements returned.
        returned: Vec<(Offset, Effects)>,
    },
}

/// Writes and reads marks.
#[derive(Debug, Clone)]
pub struct Marks {
    key: Secret,
    /// The last offset that may have changed the schema.
    pub schema: u64,
}

#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Marks {
    /// Marks under this secret.
    pub fn new(key: String, schema: u64) -> Self {
        Self { key: Secret(key), schema }
    }

    /// The mark before the request at `offset`.
    pub fn work(&self, offset: Offset) -> String {
        self.write(&Mark::Work { offset, schema: self.schema })
    }

    /// A mark as the content of a message.
    pub fn write(&self, mark: &Mark) -> String {
        let text = serde_json::to_string(mark).expect("numbers and texts are JSON");
        self.hash(text.as_bytes()) + &text
    }

    /// The mark that a message holds; none: it is not ours.
    pub fn read(&self, content: &[u8]) -> Option<Mark> {
        let (hash, text) = content.split_at_checked(HASH)?;
        (self.hash(text).as_bytes() == hash).then(|| serde_json::from_slice(text).ok())?
    }

    fn hash(&self, text: &[u8]) -> String {
        let mut hash = Sha256::new();
        [self.key.0.as_bytes(), text, self.key.0.as_bytes()].iter().for_each(|part| hash.update(part));
        hex::encode(&hash.finalize()[..HASH / 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back_and_nobody_else_can_write_them() {
        let marks = Marks::new("secret".into(), 4);
        let at = Offset::new;
        let batch = Mark::Batch {
            predecessor: None,
            applied: at(7),
            counted: Some(at(2)),
            returned: vec![(at(3), Effects::from(5))],
        };
        for mark in [Mark::Work { offset: at(7), schema: 4 }, batch] {
            let text = marks.write(&mark);
            assert_eq!(marks.read(text.as_bytes()), Some(mark));
            assert_eq!(Marks::new("guessed".into(), 4).read(text.as_bytes()), None);
            assert_eq!(marks.read(text.replace('7', "8").as_bytes()), None);
        }
        assert_eq!(marks.read(b"short"), None);
    }
}
