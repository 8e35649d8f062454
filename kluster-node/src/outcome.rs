//! Outcome: what one record of ALL came to, as remembered beside its effects; and the window in which a retry is known again.
//!
//! Neighbours: the ALL lane stores outcomes and asks the window; `answer` makes responses of them.
//!
//! Invariants
//! 1. The window is a function of the log: it holds the keys of executed requests at offsets ≥ the state's floor, whatever rows lie in the table.
//! 2. The first outcome under a key stands; a later record under that key never executes while the first is in the window.

mod marks;

use kluster_protocol::{ClientId, Column, Members, MessageId, Offset, RequestTopic, Response, ResponseError};
use marks::{Marked, Marks};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

/// What one record of ALL came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The record.
    pub offset: Offset,
    /// The request's key and body, if it can be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// A repeat: the offset whose outcome answers this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Offset>,
    /// What the answer calls the request.
    pub request_id: String,
    /// Where the answer goes: the partition asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_partition: Option<u32>,
    /// Where the answer goes otherwise: the key that decides.
    pub reply_key: String,
    /// The members as of this record.
    pub members: Members,
    /// The chain at this record, short.
    pub chain: String,
    /// Why it was refused; none: OK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ResponseError>,
    /// The request was a list of statements.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub list: bool,
    /// Rows matched or returned by each statement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<u64>,
    /// Statements returned columns, so an answer without their rows is not whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returned: bool,
}

/// Under which a request takes effect once, and what it asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// Who asked.
    pub client_id: ClientId,
    /// The request.
    pub message_id: MessageId,
    /// The first 16 bytes of the body's SHA-256, hexadecimal.
    pub body: String,
}

impl Key {
    /// The key of a request with this hash of its body.
    pub fn new(client_id: ClientId, message_id: MessageId, body_hash: &[u8; 32]) -> Self {
        Self { client_id, message_id, body: hex::encode(&body_hash[..16]) }
    }

    fn digest(&self) -> Mark {
        digest(self.client_id.as_str(), self.message_id.as_str())
    }
}

/// 128 bits that stand for a key in memory: two keys share them by chance once in 2⁶⁴ keys, and then alike on all nodes.
type Mark = [u64; 2];

fn digest(client_id: &str, message_id: &str) -> Mark {
    let mut hash = Sha256::new();
    hash.update((client_id.len() as u64).to_be_bytes());
    hash.update(client_id);
    hash.update(message_id);
    let hash = hash.finalize();
    [0, 8].map(|at| u64::from_be_bytes(hash[at..at + 8].try_into().expect("SHA-256 has 32 bytes")))
}

/// 64 bits that stand for a body beside its key: only the bodies under one key are told apart by them.
fn body_digest(body: &str) -> u64 {
    body.get(..16).and_then(|first| u64::from_str_radix(first, 16).ok()).unwrap_or_default()
}

/// What the window needs of a stored [`Outcome`]. A start reads as many as the window is long, so it reads nothing else of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredOutcome<'a> {
    /// The record.
    pub offset: Offset,
    #[serde(default, borrow)]
    key: Option<StoredKey<'a>>,
    #[serde(default)]
    repeats: Option<Offset>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredKey<'a> {
    #[serde(borrow)]
    client_id: Cow<'a, str>,
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
}

/// Rows that one statement returned, kept so that a retry gets them again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptRows {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Box<RawValue>>,
}

/// Kept rows of a batch, by offset: the column `rows` of an outcome row.
pub type KeptByOffset = BTreeMap<Offset, Vec<KeptRows>>;

/// What the window says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Not executed within the window.
    New,
    /// Executed at this offset with the same body.
    Same(Offset),
    /// Executed at this offset with another body.
    Other(Offset),
}

/// The keys of the last W offsets, and which of their rows are still kept.
#[derive(Debug, Default)]
pub struct Window {
    marks: Marks,
    kept: VecDeque<(Offset, u64)>,
    kept_bytes: u64,
}

impl Window {
    /// What is known of `key`, looking at offsets ≥ `floor` only.
    pub fn look(&self, key: &Key, floor: Offset) -> Seen {
        match self.marks.get(&key.digest()) {
            Some(marked) if marked.offset < floor => Seen::New,
            Some(marked) if marked.body == body_digest(&key.body) => Seen::Same(marked.offset),
            Some(marked) => Seen::Other(marked.offset),
            None => Seen::New,
        }
    }

    /// Room for this many keys.
    pub fn reserve(&mut self, keys: usize) {
        self.marks.reserve(keys);
    }

    /// Remembers an outcome, with the bytes of rows that were kept for it.
    pub fn remember(&mut self, outcome: &Outcome, kept_bytes: u64) {
        let key = outcome.key.as_ref().filter(|_| outcome.repeats.is_none());
        self.hold(outcome.offset, key.map(|key| (key.digest(), body_digest(&key.body))), kept_bytes);
    }

    /// Remembers an outcome again, as stored.
    pub fn remember_stored(&mut self, stored: &StoredOutcome<'_>, kept_bytes: u64) {
        let key = stored.key.as_ref().filter(|_| stored.repeats.is_none());
        let key = key.map(|key| (digest(&key.client_id, &key.message_id), body_digest(&key.body)));
        self.hold(stored.offset, key, kept_bytes);
    }

    fn hold(&mut self, offset: Offset, key: Option<(Mark, u64)>, kept_bytes: u64) {
        if let Some((mark, body)) = key {
            self.marks.push(Marked { mark, offset, body });
        }
        if kept_bytes > 0 {
            self.kept.push_back((offset, kept_bytes));
            self.kept_bytes += kept_bytes;
        }
    }

    /// Forgets what lies below `floor`, and of the rows as many of the oldest as exceed `max_bytes`.
    pub fn forget(&mut self, floor: Offset, max_bytes: u64) {
        self.marks.forget(floor);
        while let Some((offset, bytes)) = self.kept.front().copied() {
            if offset >= floor && self.kept_bytes <= max_bytes {
                break;
            }
            self.kept.pop_front();
            self.kept_bytes -= bytes;
        }
    }

    /// Rows of outcomes at `offset` are still kept: the same on all nodes, whatever lies in the table.
    pub fn keeps_rows(&self, offset: Offset) -> bool {
        self.kept.binary_search_by_key(&offset, |(offset, _)| *offset).is_ok()
    }

    /// The oldest offset whose rows are kept.
    pub fn oldest_kept(&self) -> Option<Offset> {
        self.kept.front().map(|(offset, _)| *offset)
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// No key is known.
    pub fn is_empty(&self) -> bool {
        self.marks.len() == 0
    }
}

impl Outcome {
    /// The response that says this outcome, without rows.
    pub fn response(&self, node: &kluster_protocol::NodeId) -> Response<Box<RawValue>> {
        let single = self.error.is_none() && !self.list;
        Response {
            message_id: MessageId::new(format!("{node}.{}", self.offset)),
            node_id: node.clone(),
            request_id: self.request_id.clone(),
            request_topic: RequestTopic::All,
            result_code: self.error.as_ref().map_or(Response::<()>::OK.to_owned(), ResponseError::result_code),
            result: single.then(Vec::new),
            columns: Vec::new(),
            rows_affected: single.then(|| self.counts.first().copied().unwrap_or_default()),
            results: None,
            offset: Some(self.offset),
            chain: Some(self.chain.clone()),
            members: self.members,
            error: self.error.clone(),
            result_gone: false,
            part: None,
            last_part: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(message: &str, body: u8) -> Key {
        Key::new("c".into(), message.into(), &[body; 32])
    }

    fn outcome(offset: u64, key: Key) -> Outcome {
        Outcome {
            offset: Offset::new(offset),
            key: Some(key),
            repeats: None,
            request_id: "r".into(),
            reply_partition: None,
            reply_key: "c".into(),
            members: Members { version: 0, voter: false, voters: 0 },
            chain: String::new(),
            error: None,
            list: false,
            counts: vec![1],
            returned: false,
        }
    }

    #[test]
    fn window_knows_retries_and_reuse_within_w_offsets() {
        let mut window = Window::default();
        window.remember(&outcome(5, key("a", 1)), 0);
        assert_eq!(window.look(&key("a", 1), Offset::new(0)), Seen::Same(Offset::new(5)));
        assert_eq!(window.look(&key("a", 2), Offset::new(0)), Seen::Other(Offset::new(5)));
        assert_eq!(window.look(&key("b", 1), Offset::new(0)), Seen::New);
        // The same whether or not the entry was pruned already: only the floor decides.
        assert_eq!(window.look(&key("a", 1), Offset::new(6)), Seen::New);
        window.forget(Offset::new(6), u64::MAX);
        assert!(window.is_empty());
    }

    #[test]
    fn a_key_executed_again_after_the_window_is_not_forgotten_with_its_first() {
        let mut window = Window::default();
        window.remember(&outcome(5, key("a", 1)), 0);
        window.remember(&outcome(50, key("a", 1)), 0);
        window.forget(Offset::new(6), u64::MAX);
        assert_eq!(window.look(&key("a", 1), Offset::new(6)), Seen::Same(Offset::new(50)));
    }

    #[test]
    fn a_stored_outcome_is_remembered_as_when_it_was_new() {
        let plain = outcome(5, key("a", 1));
        let escaped = outcome(6, key("a \"quoted\" ü\n", 2));
        let repeat = Outcome { repeats: Some(Offset::new(5)), ..outcome(7, key("c", 3)) };
        let outcomes = [plain, escaped, repeat];
        let (mut new, mut again) = (Window::default(), Window::default());
        let json = serde_json::to_string(&outcomes).unwrap();
        for (outcome, stored) in outcomes.iter().zip(serde_json::from_str::<Vec<StoredOutcome<'_>>>(&json).unwrap()) {
            new.remember(outcome, 3);
            again.remember_stored(&stored, 3);
        }
        assert_eq!(new.marks.in_order(), again.marks.in_order());
        assert_eq!((&new.kept, new.kept_bytes), (&again.kept, again.kept_bytes));
        assert_eq!(new.len(), 2, "a repeat is no key of its own");
    }

    #[test]
    fn oldest_rows_are_dropped_first() {
        let mut window = Window::default();
        (1..=3).for_each(|n| window.remember(&outcome(n, key(&n.to_string(), 0)), 40));
        window.forget(Offset::ZERO, 100);
        assert!(!window.keeps_rows(Offset::new(1)));
        assert!(window.keeps_rows(Offset::new(2)) && window.keeps_rows(Offset::new(3)));
        assert_eq!(window.oldest_kept(), Some(Offset::new(2)));
    }
}
