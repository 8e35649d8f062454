//! Taken: the reads that this node has taken from ONE and not answered yet. Some wait for a free session, the others are being answered.
//!
//! Neighbours: the lane adds, starts and ends them.
//!
//! The lane reads ahead of what it can execute, so that it meets the record that ends a read while all its sessions are busy. How far is bounded by
//! [`WAITING_BYTES`].

use crate::admit::reply_partition;
use crate::answer::Destination;
use kluster_log::Record;
use kluster_protocol::{BadRequest, ClientId, EndRead, MessageId, Offset, Request};
use std::collections::{HashMap, VecDeque};
use tokio_util::sync::CancellationToken;

/// Bytes of the reads that wait for a session; then the lane takes no more. Room for some 8,000 reads of 512 bytes: more than any node answers while
/// clients wait for it.
const WAITING_BYTES: usize = 8 * 1024 * 1024;

/// What a read that waits costs beside its record's value, at least.
const OVERHEAD: usize = 512;

/// A record of ONE, and what it asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) record: Record,
    pub(super) request: Result<Request, BadRequest>,
    /// The id that the answer names.
    pub(super) id: String,
    /// Where the answer goes.
    pub(super) to: Destination,
    /// Cancelled: its client does not want the rows any more.
    pub(super) ended: CancellationToken,
}

impl Asked {
    /// Reads the record; one that is no request is answered too.
    pub(super) fn of(record: Record) -> Self {
        let request = Request::parse(record.value.as_deref());
        let (id, client) = match &request {
            Ok(request) => (Some(&request.message_id), Some(&request.client_id)),
            Err(bad) => (bad.message_id.as_ref(), bad.client_id.as_ref()),
        };
        let id = id.map_or_else(|| format!("@{}", record.offset), |id| id.as_str().to_owned());
        let key = client.map_or_else(|| id.clone(), |client| client.as_str().to_owned());
        let to = Destination { partition: reply_partition(&record), key };
        Self { record, request, id, to, ended: CancellationToken::new() }
    }
}

/// Where a record lies.
type Place = (u32, Offset);

/// What can be ended.
#[derive(Debug)]
struct Endable {
    client_id: ClientId,
    message_id: MessageId,
    ended: CancellationToken,
}

impl Endable {
    fn is_meant(&self, end: &EndRead) -> bool {
        (&self.client_id, &self.message_id) == (&end.client_id, &end.ends)
    }
}

/// The reads that are taken and not answered.
#[derive(Debug, Default)]
pub(super) struct Taken {
    waiting: VecDeque<Asked>,
    /// Bytes of the values of `waiting`.
    bytes: usize,
    endable: HashMap<Place, Endable>,
}

impl Taken {
    /// It is not answered yet.
    pub(super) fn add(&mut self, asked: Asked) {
        if let Ok(request) = &asked.request {
            let (client_id, message_id) = (request.client_id.clone(), request.message_id.clone());
            let endable = Endable { client_id, message_id, ended: asked.ended.clone() };
            self.endable.insert(place(&asked.record), endable);
        }
        self.bytes += size(&asked);
        self.waiting.push_back(asked);
    }

    /// No more is to be taken now.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= WAITING_BYTES
    }

    /// The one that has waited longest; it waits no more.
    pub(super) fn next(&mut self) -> Option<Asked> {
        let asked = self.waiting.pop_front()?;
        self.bytes -= size(&asked);
        Some(asked)
    }

    /// Ends what is meant. One that was waiting is given out.
    pub(super) fn end(&mut self, end: &EndRead) -> Option<Asked> {
        let (place, meant) = self.endable.iter().find(|(_, endable)| endable.is_meant(end))?;
        meant.ended.cancel();
        let at = self.waiting.iter().position(|asked| self::place(&asked.record) == *place)?;
        let asked = self.waiting.remove(at)?;
        self.bytes -= size(&asked);
        Some(asked)
    }

    /// It is answered.
    pub(super) fn over(&mut self, record: &Record) {
        self.endable.remove(&place(record));
    }
}

fn place(record: &Record) -> Place {
    (record.partition, record.offset)
}

fn size(asked: &Asked) -> usize {
    OVERHEAD + asked.record.value.as_ref().map_or(0, |value| value.len())
}
