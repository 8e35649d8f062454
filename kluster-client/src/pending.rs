//! Pending: request id to waiting caller. No I/O.
//!
//! Invariants
//! 1. A caller is registered before its request is sent, for the answer may overtake the send.
//! 2. An entry vanishes with its [`Inbox`]: a caller that leaves leaks nothing.
//! 3. No guard of the map is held across an await, and nothing depends on the map's own order.

use crate::parts::Arrived;
use dashmap::DashMap;
use kluster_protocol::MessageId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What a waiting caller is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// A node answered.
    Answer(Box<Arrived>),
    /// Voters came or went: count again.
    Recount,
    /// More came than the caller may hold; what passed the limit is lost.
    Overflow,
    /// The client was closed.
    Closed,
}

/// Everyone who waits for answers.
#[derive(Debug)]
pub(crate) struct Pending {
    waiting: DashMap<String, Vec<Mailbox>>,
    closed: AtomicBool,
    next: AtomicU64,
    max_bytes: usize,
}

#[derive(Debug)]
struct Mailbox {
    number: u64,
    counts_voters: bool,
    queued: Arc<AtomicUsize>,
    sender: UnboundedSender<Event>,
}

impl Pending {
    /// Holds at most about `max_bytes` for each caller that does not take what came.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { waiting: DashMap::new(), closed: AtomicBool::new(false), next: AtomicU64::new(0), max_bytes }
    }

    /// Opens an inbox.
    pub(crate) fn open(self: &Arc<Self>, counts_voters: bool) -> Inbox {
        let (sender, receiver) = unbounded_channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Inbox {
            pending: self.clone(),
            ids: Vec::new(),
            number,
            counts_voters,
            queued: Arc::default(),
            sender,
            receiver,
        }
    }

    /// Someone waits for answers to this request.
    pub(crate) fn awaits(&self, request_id: &str) -> bool {
        self.waiting.contains_key(request_id)
    }

    /// Gives a response to those who wait for it; others' are dropped.
    pub(crate) fn deliver(&self, arrived: Arrived) {
        let Some(mailboxes) = self.waiting.get(&arrived.response.request_id) else {
            return;
        };
        let Some((last, others)) = mailboxes.split_last() else {
            return;
        };
        for mailbox in others {
            mailbox.put(arrived.clone(), self.max_bytes);
        }
        last.put(arrived, self.max_bytes);
    }

    /// Tells those who count voters to count again, in the order of their ids.
    pub(crate) fn recount(&self) {
        for id in self.ids() {
            let Some(mailboxes) = self.waiting.get(&id) else {
                continue;
            };
            for mailbox in mailboxes.iter().filter(|mailbox| mailbox.counts_voters) {
                let _ = mailbox.sender.send(Event::Recount); // the caller may just be leaving
            }
        }
    }

    /// Ends every wait, in the order of ids, and lets none begin.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for id in self.ids() {
            let Some((_, mailboxes)) = self.waiting.remove(&id) else {
                continue;
            };
            for mailbox in mailboxes {
                let _ = mailbox.sender.send(Event::Closed); // the caller may just be leaving
            }
        }
    }

    /// How many requests are waited for.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.waiting.iter().map(|entry| entry.key().clone()).collect();
        ids.sort();
        ids
    }
}

impl Mailbox {
    fn put(&self, arrived: Arrived, max_bytes: usize) {
        let before = self.queued.fetch_add(arrived.bytes, Ordering::Relaxed);
        let event = match before > 0 && before + arrived.bytes > max_bytes {
            true => Event::Overflow,
            false => Event::Answer(Box::new(arrived)),
        };
        let _ = self.sender.send(event); // the caller may just be leaving
    }
}

/// Where a caller finds what comes for its requests. Dropping it takes the caller out of the map.
#[derive(Debug)]
pub(crate) struct Inbox {
    pending: Arc<Pending>,
    ids: Vec<MessageId>,
    number: u64,
    counts_voters: bool,
    queued: Arc<AtomicUsize>,
    sender: UnboundedSender<Event>,
    receiver: UnboundedReceiver<Event>,
}

impl Inbox {
    /// Waits for answers to this request too; false once closed. Call it before the request is sent.
    #[must_use]
    pub(crate) fn expect(&mut self, id: &MessageId) -> bool {
        let mailbox = Mailbox {
            number: self.number,
            counts_voters: self.counts_voters,
            queued: self.queued.clone(),
            sender: self.sender.clone(),
        };
        self.pending.waiting.entry(id.as_str().to_owned()).or_default().push(mailbox);
        self.ids.push(id.clone());
        // Asked after the entry was made: whoever closes in between finds the entry.
        !self.pending.closed.load(Ordering::SeqCst)
    }

    /// What came next.
    pub(crate) async fn next(&mut self) -> Event {
        match self.receiver.recv().await {
            Some(Event::Answer(arrived)) => {
                self.queued.fetch_sub(arrived.bytes, Ordering::Relaxed);
                Event::Answer(arrived)
            }
            Some(event) => event,
            None => Event::Closed,
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        for id in &self.ids {
            self.pending.waiting.remove_if_mut(id.as_str(), |_, mailboxes| {
                mailboxes.retain(|mailbox| mailbox.number != self.number);
                mailboxes.is_empty()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(request: &str) -> Arrived {
        let text =
            json!({"messageId": "a", "nodeId": "n1", "requestId": request, "requestTopic": "ALL", "resultCode": "OK",
            "members": {"version": 0, "voter": false, "voters": 0}})
            .to_string();
        Arrived { bytes: text.len(), response: serde_json::from_str(&text).unwrap() }
    }

    #[tokio::test]
    async fn answers_find_those_who_wait_and_no_one_else() {
        let pending = Arc::new(Pending::new(10_000));
        let (mut first, mut second) = (pending.open(false), pending.open(true));
        let id = MessageId::from("r1");
        assert!(first.expect(&id) && second.expect(&id));
        pending.deliver(answer("r2"));
        pending.deliver(answer("r1"));
        assert!(matches!(first.next().await, Event::Answer(_)));
        assert!(matches!(second.next().await, Event::Answer(_)));
        pending.recount();
        assert!(matches!(second.next().await, Event::Recount));
        drop(first);
        assert!(pending.awaits("r1"), "the second still waits");
        drop(second);
        assert_eq!(pending.len(), 0);
    }

    #[tokio::test]
    async fn closing_ends_every_wait_and_lets_none_begin() {
        let pending = Arc::new(Pending::new(10_000));
        let mut inbox = pending.open(false);
        assert!(inbox.expect(&"r1".into()));
        pending.close();
        assert!(matches!(inbox.next().await, Event::Closed));
        assert!(!inbox.expect(&"r2".into()));
        drop(inbox);
        assert_eq!(pending.len(), 0);
    }

    #[tokio::test]
    async fn what_is_not_taken_is_bounded() {
        let pending = Arc::new(Pending::new(300));
        let mut inbox = pending.open(false);
        assert!(inbox.expect(&"r1".into()));
        for _ in 0..3 {
            pending.deliver(answer("r1"));
        }
        assert!(matches!(inbox.next().await, Event::Answer(_)));
        assert!(matches!(inbox.next().await, Event::Answer(_)));
        assert!(matches!(inbox.next().await, Event::Overflow));
    }
}
