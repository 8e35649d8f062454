//! Earlier: what an earlier run of a load has put into the log.
//!
//! Looked for among the records whose outcomes nodes remember, for only those are answered without being executed again.

use crate::source::{Source, Start};
use kluster_log::{Log, LogError, Record};
use kluster_protocol::{ClientId, Offset, Request, Topic};
use std::collections::HashMap;

/// The id of a record of ours lies within so many bytes: it is the first field that the client writes.
const ID_WITHIN: usize = 256;

/// What an earlier run has put into the log.
#[derive(Debug)]
pub(super) struct Earlier {
    /// By the statement's number.
    found: HashMap<usize, Found>,
    /// So many records were looked at: those whose outcomes nodes remember.
    window: u64,
    /// The whole log was looked at.
    saw_all: bool,
}

/// One statement's first record.
#[derive(Debug, Clone, Copy)]
struct Found {
    offset: Offset,
    /// The offset that the request named as below all its attempts: a retry must repeat it.
    since: Option<Offset>,
}

impl Earlier {
    /// Looks at the newest `window` records.
    pub(super) async fn look(log: &Log, window: u64, client_id: &ClientId, load_id: &str) -> Result<Self, LogError> {
        let range = log.range(Topic::All, 0).await?;
        let from = range.end.back(window);
        let mut source = Source::open(log, Topic::All, Start::Place(from)).await?;
        let mut found = HashMap::new();
        while let Some(record) = source.past().await? {
            if let Some((number, since)) = read(&record, client_id, load_id) {
                found.entry(number).or_insert(Found { offset: record.offset, since });
            }
        }
        Ok(Self { found, window, saw_all: from <= range.start })
    }

    /// Where the first record of the load lies, if any was found.
    pub(super) fn first(&self) -> Option<Offset> {
        self.found.values().map(|found| found.offset).min()
    }

    /// How many statements were found.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// The whole log was looked at.
    pub(super) fn saw_all(&self) -> bool {
        self.saw_all
    }

    /// So many records were looked at.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Whether the statement is in the log, and if so with which `sinceOffset`.
    pub(super) fn of(&self, number: usize) -> Option<Option<Offset>> {
        self.found.get(&number).map(|found| found.since)
    }

    /// Statements before this one are in the log too, but so long ago that nodes have forgotten them: they come in the script's order.
    pub(super) fn forgotten_before(&self) -> usize {
        match self.saw_all {
            true => 0,
            false => self.found.keys().copied().min().unwrap_or_default(),
        }
    }
}

fn read(record: &Record, client_id: &ClientId, load_id: &str) -> Option<(usize, Option<Offset>)> {
    let value = record.value.as_deref()?;
    let start = &value[..value.len().min(ID_WITHIN)];
    if !start.windows(load_id.len()).any(|window| window == load_id.as_bytes()) {
        return None;
    }
    let request = Request::parse(Some(value)).ok().filter(|request| request.client_id == *client_id)?;
    let number = request.message_id.as_str().strip_prefix(load_id)?.parse().ok()?;
    Some((number, request.since_offset))
}
