//! Binlog: which rows each request changed, from the server's own binary log in row format, read as a replica reads it.
//!
//! | module | purpose |
//! |---|---|
//! | `ready` | whether this server's log can be used, and what to do where it cannot |
//! | `stream` | the connection that the server sends its log over |
//! | `bytes`, `event`, `image` | events and rows, decoded |
//! | `computed` | which columns are left out of digests |
//! | `definition` | the table that a CREATE TABLE … SELECT makes |
//! | `groups` | which request changed which rows |
//!
//! Neighbours: [`crate::effects`] is told what is found; [`super::batch`] writes the savepoints that say whose rows follow, and with each claim
//! where the follower is, so that it goes on from there after a restart.
//!
//! Invariants
//! 1. What is told reaches from one offset on without a gap: each batch must begin where the one before ended. A batch that begins elsewhere (the log
//!    was purged or reset; log and tables disagree after a crash) begins the count anew, so a gap is never taken for a difference.
//! 2. The place that is stored is never beyond what the state row counts, for it is written by the claim and the count is written later in the same
//!    transaction.
//! 3. A group that cannot be read is said, and counts for nothing: the next one begins anew.

mod bytes;
mod computed;
mod definition;
mod event;
mod groups;
mod image;
mod ready;
mod stream;

use super::address::Address;
use crate::effects::EffectsTrail;
pub use computed::Computed;
use event::Event;
pub use groups::SAVEPOINT;
use groups::{Batch, Groups};
use kluster_protocol::{EffectsMeans, Offset};
pub use ready::{Logging, SET, logging};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stream::{Ended, From, Stream};

/// A log that cannot be read is tried again after this time.
const PAUSE: Duration = Duration::from_secs(2);

/// What an event holds and this version cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A field goes beyond the end.
    #[error("an event of the binary log is shorter than it says")]
    Short,
    /// An event of an unknown type.
    #[error("the binary log holds an event of type {0}, which this version of Kluster does not know")]
    Event(u8),
    /// A column of an unknown type, or a table without its event.
    #[error(
        "a column of table {table} is of type {kind} in the binary log, which this version of Kluster does not know"
    )]
    Column {
        /// The table.
        table: String,
        /// The type's number.
        kind: u8,
    },
    /// Rows whose table was not announced before them.
    #[error("rows of table number {0} do not fit what the binary log says of it")]
    Table(u64),
    /// Only some columns are in the image.
    #[error("rows in the binary log are not whole; SET GLOBAL binlog_row_image = FULL")]
    Partial,
    /// An unknown compression.
    #[error("compressed data in the binary log cannot be read")]
    Compression,
    /// A claim does not say what a claim of this version says.
    #[error("a batch was written into the binary log by another version of Kluster")]
    Claim,
    /// Rows of nobody, or a statement as text, in a batch of Kluster's.
    #[error("the binary log does not show whose rows a batch changed; SET GLOBAL binlog_format = ROW")]
    Unplaced,
}

/// A place in the log, between two groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Where in it.
    pub position: u64,
    /// The applied offset of the last batch before it; none: the first batch comes behind it.
    pub after: Option<Offset>,
}

/// What each claim writes into the log, and into the state: for who follows the log, and for the follower of a later start.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claimed {
    /// Where the follower is; none: it is not known.
    place: Option<Place>,
    /// What rows of the batch are digested without.
    computed: Computed,
}

/// Where the follower is, for the next claim to write. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reached(Arc<Mutex<Option<Place>>>);

impl Reached {
    /// At this place, as it was stored.
    pub fn stored(&self, text: Option<&str>) {
        // What another version wrote differently is as good as nothing: the count begins anew.
        self.set(text.and_then(|text| serde_json::from_str::<Claimed>(text).ok()?.place));
    }

    /// Where nothing is stored: behind the end of the log, as it was when the database had applied up to `applied`. So the first batch is
    /// seen, however late the follower asks for the log.
    pub fn begin(&self, (file, position): &(String, u64), applied: Option<Offset>) {
        // A position that does not fit the request for the log is no place.
        if self.place().is_none() && *position <= u64::from(u32::MAX) {
            self.set(Some(Place { file: file.clone(), position: *position, after: applied }));
        }
    }

    /// What a claim on a database with these computed columns writes.
    ///
    /// # Errors
    /// Never: names and numbers have a form in JSON.
    pub fn claimed(&self, computed: &Computed) -> serde_json::Result<String> {
        serde_json::to_string(&Claimed { place: self.place(), computed: computed.clone() })
    }

    fn place(&self) -> Option<Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, place: Option<Place>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

/// Follows the log until it is dropped.
pub async fn follow(address: Address, reached: Reached, trail: EffectsTrail) {
    let mut follower = Follower {
        groups: Groups::new(&address.names.database, &address.names.state),
        last: Last::Unknown,
        reached,
        trail,
    };
    loop {
        let why = follower.once(&address).await;
        tracing::warn!(%why, "the server's binary log is not read; it is tried again");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The batch before the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// It ended at this applied offset; none: the next one is the first.
    Ended(Option<Offset>),
    /// Nothing is known of it, but nothing speaks against that the next one goes on where the count ends.
    Unknown,
    /// It could not be read.
    Unread,
}

struct Follower {
    groups: Groups,
    last: Last,
    reached: Reached,
    trail: EffectsTrail,
}

impl Follower {
    /// Follows the log over one connection; the answer is why it ended.
    async fn once(&mut self, address: &Address) -> Ended {
        let place = self.reached.place();
        let from = match (&place, self.last) {
            (Some(place), _) => From::Place(&place.file, place.position),
            // Whatever is there of the batches that came meanwhile is counted.
            (None, Last::Unread) => From::NewestFile,
            (None, _) => From::End,
        };
        let opened = Stream::open(address, from).await;
        self.groups.forget();
        if self.last != Last::Unread {
            self.last = place.map_or(Last::Unknown, |place| Last::Ended(place.after));
        }
        let ended = match opened {
            Ok(mut stream) => self.read(&mut stream).await,
            Err(ended) => ended,
        };
        match &ended {
            Ended::Gone(why) => {
                // What the place led to is purged, or the log was made anew.
                self.reached.set(None);
                self.last = Last::Unread;
                self.trail.lost(why.clone());
            }
            Ended::Refused(why) => {
                self.last = Last::Unread;
                self.trail.lost(why.clone());
            }
            // As long as the server is away it changes nothing.
            Ended::Away(_) => {}
        }
        ended
    }

    async fn read(&mut self, stream: &mut Stream) -> Ended {
        loop {
            let said = match stream.next().await {
                Ok(said) => said,
                Err(ended) => return ended,
            };
            let event = Event::of(said.kind, said.data());
            if let Ok(Event::Rotate { file, position }) = &event {
                stream.rotated(file.clone(), *position);
            }
            let taken = self.groups.take(event);
            match taken {
                Ok(None) => {}
                Ok(Some(batch)) => self.count(batch),
                Err(unreadable) => {
                    tracing::warn!(%unreadable, "effects begin to be counted anew");
                    self.last = Last::Unread;
                    self.trail.lost(unreadable.to_string());
                }
            }
            if self.groups.is_between()
                && let Last::Ended(after) = self.last
            {
                self.reached.set(stream.place().map(|(file, position)| Place { file, position, after }));
            }
        }
    }

    fn count(&mut self, batch: Batch) {
        let goes_on = match self.last {
            Last::Ended(last) => last == batch.before && self.trail.known_through() >= batch.before,
            Last::Unknown => self.trail.known_through() == batch.before,
            Last::Unread => false,
        };
        if !goes_on {
            tracing::info!(since = ?batch.before, "effects begin to be counted anew");
            self.trail.restart(EffectsMeans::Binlog, batch.before);
        }
        self.trail.through(batch.applied, &batch.effects);
        self.last = Last::Ended(Some(batch.applied));
    }
}
