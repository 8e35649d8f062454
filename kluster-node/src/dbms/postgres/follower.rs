//! Follower: reads what the server decodes of its own log and tells the trail which rows each request changed.
//!
//! ```text
//! slot (made where it is missing) ─▶ stream ─▶ decoded: lines ─▶ marks: whose they are ─▶ net: one digest a request ─▶ trail
//! ```
//! Neighbours: the node runs it beside the lanes ([`crate::dbms::Dbms::effects_follower`]); `batch` and `finish` write the marks.
//!
//! Invariants
//! 1. A batch is told whole and once: its transaction comes when it is committed and on the disk, and what the trail knows already it passes by.
//! 2. The server keeps what follows the last batch that the state row has counted, so that a restart leaves nothing out. An exception: after
//!    [`IDLE`] without a change everything is given free, for heartbeats have said the digests long since; after a restart the trail then begins
//!    anew behind those batches.
//! 3. What cannot be known for certain (a change too large to look at) makes the trail begin anew behind it. It never makes a digest that another node
//!    would not have. Keys of tables are those of the offset, not those of the moment in which it is read.

use super::address::Address;
use super::connection::{Connection, Said, Stream};
use super::decoded::{self, Line};
use super::error::Error;
use super::marks::{Mark, Marks, PREFIX};
use super::net::{Key, Net};
use super::seat;
use crate::effects::EffectsTrail;
use kluster_protocol::{Effects, EffectsMeans, Offset};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;

/// Shipped with every PostgreSQL, and needs no publication: a published table without a replica identity takes no UPDATE and DELETE.
const PLUGIN: &str = "test_decoding";
/// Not `skip-empty-xacts`: with it, PostgreSQL 15 writes messages before the BEGIN of their transaction.
const OPTIONS: &str = r#""include-xids" '0'"#;

/// A change of more bytes is not looked at.
const LARGEST_CHANGE: usize = 64 * 1024 * 1024;
/// How often the server is told how far it may forget. Its own patience (`wal_sender_timeout`) is 60 s by default.
const CONFIRM: Duration = Duration::from_secs(3);
/// After so long without a change the server need not keep what is not counted in a state row yet.
const IDLE: Duration = Duration::from_secs(10);
/// Before the stream is opened again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The server refused so many times in a row: somebody must know.
const REFUSALS: u32 = 5;
/// A server that asks again and again for an answer that it has got is ending, and waits for us.
const ASKED: u32 = 3;

/// Where and as whom to follow.
#[derive(Debug, Clone)]
pub struct Follower {
    /// As the owner, for questions.
    pub owner: Address,
    /// As the owner, with the settings that values are shown by.
    pub decoding: Address,
    /// The slot's name.
    pub slot: String,
    /// Reads marks.
    pub marks: Marks,
}

impl Follower {
    /// Follows for ever; opens the stream again when it ends.
    pub async fn run(self, trail: EffectsTrail) {
        let (mut wait, mut refusals) = (FIRST_WAIT, 0);
        loop {
            let began = Instant::now();
            let Err(error) = self.follow(&trail).await;
            if began.elapsed() > IDLE {
                (wait, refusals) = (FIRST_WAIT, 0);
            }
            tracing::info!(%error, "the stream of changes has ended; it is opened again");
            refusals = if matches!(error, Error::Server(_)) { refusals + 1 } else { 0 };
            if refusals == REFUSALS {
                trail.lost(format!("PostgreSQL does not stream its changes: {error}; it is tried again"));
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn follow(&self, trail: &EffectsTrail) -> Result<Infallible, Error> {
        let mut side = seat::connect(&self.owner).await?;
        ensure_slot(&mut side, &self.slot).await?;
        let mut stream = Stream::start(&self.decoding, &self.slot, OPTIONS, LARGEST_CHANGE).await?;
        let mut reading = Reading::new(side, self.marks.clone(), trail.clone());
        let mut asked = 0;
        let mut tick = tokio::time::interval(CONFIRM);
        loop {
            tokio::select! {
                said = stream.next() => match said? {
                    Said::Piece { place, data } => {
                        asked = 0;
                        reading.piece(place, &data).await?;
                    }
                    Said::Oversized => reading.oversized(),
                    Said::Alive { place, asks } => {
                        reading.alive(place);
                        if asks {
                            asked += 1;
                            stream.confirm(reading.confirmed).await?;
                        }
                        if asked >= ASKED && reading.confirmed < place {
                            return Err(Error::Closed);
                        }
                    }
                },
                _ = tick.tick() => {
                    asked = 0;
                    stream.confirm(reading.confirmed).await?;
                }
            }
        }
    }
}

/// Makes the slot, unless it is there and of use.
pub async fn ensure_slot(side: &mut Connection, slot: &str) -> Result<(), Error> {
    let found = "select coalesce(wal_status, ''), coalesce(active_pid, 0) from pg_catalog.pg_replication_slots where slot_name = $1";
    let rows = side.query(found, [Some(slot)]).await?.rows;
    let cell = |n| rows.first().and_then(|row| row.text(n)).unwrap_or_default().into_owned();
    if cell(1) != "0" && !rows.is_empty() {
        // An earlier process of this node: only one holds the session lock.
        side.query("select pg_catalog.pg_terminate_backend($1::int)", [Some(cell(1))]).await?;
    }
    if cell(0) == "lost" {
        tracing::warn!(
            slot,
            "the server has thrown away changes that were not read (max_slot_wal_keep_size); effects are compared from now on"
        );
        drop_slot(side, slot).await?;
    }
    if rows.is_empty() || cell(0) == "lost" {
        let make = "select pg_catalog.pg_create_logical_replication_slot($1::name, $2::name)";
        side.query(make, [Some(slot), Some(PLUGIN)]).await?;
    }
    Ok(())
}

/// Gives the slot up, and with it what the server keeps for it.
pub async fn drop_slot(owner: &mut Connection, slot: &str) -> Result<(), Error> {
    let drop = "select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots where slot_name = $1";
    owner.query(drop, [Some(slot)]).await.map(|_| ())
}

/// A transaction whose changes come in.
#[derive(Default)]
struct Batch {
    each: Vec<(Offset, Effects)>,
    work: Option<(Offset, Net)>,
    end: Option<End>,
    uncertain: bool,
}

/// What the mark of a batch says.
struct End {
    predecessor: Option<Offset>,
    applied: Offset,
    counted: Option<Offset>,
    returned: Vec<(Offset, Effects)>,
}

impl Batch {
    fn end_work(&mut self) {
        if let Some((offset, net)) = self.work.take() {
            self.each.push((offset, net.effects()));
        }
    }
}

/// What is known of the stream so far.
struct Reading {
    side: Connection,
    marks: Marks,
    trail: EffectsTrail,
    batch: Batch,
    /// The keys of tables, as of the last offset that may have changed the schema; none: not looked up yet.
    keys: Option<HashMap<String, Vec<String>>>,
    schema: u64,
    /// Batches that no state row has counted yet, and where they end in the server's log.
    uncounted: VecDeque<(Offset, u64)>,
    /// The server may forget what lies before this place.
    confirmed: u64,
    last: Instant,
}

impl Reading {
    fn new(side: Connection, marks: Marks, trail: EffectsTrail) -> Self {
        Self {
            side,
            marks,
            trail,
            batch: Batch::default(),
            keys: None,
            schema: 0,
            uncounted: VecDeque::new(),
            confirmed: 0,
            last: Instant::now(),
        }
    }

    async fn piece(&mut self, place: u64, data: &[u8]) -> Result<(), Error> {
        self.last = Instant::now();
        match decoded::read(data) {
            Line::Begin => self.batch = Batch::default(),
            Line::Message { prefix, content } if prefix == PREFIX.as_bytes() => {
                let mark = self.marks.read(content);
                mark.into_iter().for_each(|mark| self.mark(mark));
            }
            Line::Row(change) if self.counts(change.table) => {
                let key = self.key(change.table).await?;
                if let Some((_, net)) = &mut self.batch.work {
                    net.row(&change, &key);
                }
            }
            Line::Truncate(tables) => {
                let own: Vec<_> = tables.into_iter().filter(|table| self.counts(table)).collect();
                if let Some((_, net)) = &mut self.batch.work {
                    own.into_iter().for_each(|table| net.truncated(table));
                }
            }
            Line::Commit => self.commit(place),
            Line::Unknown if data.starts_with(b"table ") => self.batch.uncertain = true,
            Line::Row(_) | Line::Message { .. } | Line::Unknown => {}
        }
        Ok(())
    }

    /// Users' tables, in a request.
    fn counts(&self, table: &[u8]) -> bool {
        self.batch.work.is_some() && !table.starts_with(b"kluster_state.")
    }

    fn oversized(&mut self) {
        self.batch.uncertain = true;
    }

    fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::Work { offset, schema } => {
                self.batch.end_work();
                self.batch.work = Some((offset, Net::default()));
                if schema != self.schema {
                    self.schema = schema;
                    self.keys = None;
                }
            }
            Mark::Batch { predecessor, applied, counted, returned } => {
                self.batch.end = Some(End { predecessor, applied, counted, returned });
            }
        }
    }

    /// The key of a table as it was then.
    async fn key(&mut self, table: &[u8]) -> Result<Key, Error> {
        if self.keys.is_none() {
            let rows = self.side.query(KEYS, [Some(self.schema.to_string())]).await?.rows;
            let keys = rows.first().and_then(|row| serde_json::from_str(&row.text(0)?).ok());
            self.batch.uncertain |= keys.is_none();
            self.keys = keys;
        }
        let key = self.keys.as_ref().and_then(|keys| keys.get(std::str::from_utf8(table).ok()?));
        Ok(key.map(|key| key.iter().map(|name| name.clone().into_bytes()).collect()).unwrap_or_default())
    }

    fn commit(&mut self, place: u64) {
        let mut batch = std::mem::take(&mut self.batch);
        batch.end_work();
        let Some(end) = batch.end else {
            self.alive(place);
            return;
        };
        while self.uncounted.front().is_some_and(|(applied, _)| Some(*applied) <= end.counted) {
            self.confirmed = self.uncounted.pop_front().map_or(self.confirmed, |(_, place)| place);
        }
        self.uncounted.push_back((end.applied, place));
        if batch.uncertain {
            self.trail.restart(EffectsMeans::Decoded, Some(end.applied));
            return;
        }
        if self.trail.kind().is_none() || end.predecessor > self.trail.known_through() {
            self.trail.restart(EffectsMeans::Decoded, end.predecessor);
        }
        let mut each = BTreeMap::<Offset, Effects>::new();
        for (offset, effects) in batch.each.into_iter().chain(end.returned) {
            *each.entry(offset).or_default() += effects;
        }
        let each: Vec<_> = each.into_iter().filter(|(_, effects)| !effects.is_none()).collect();
        self.trail.through(end.applied, &each);
    }

    /// The server has nothing more up to this place.
    fn alive(&mut self, place: u64) {
        if self.last.elapsed() > IDLE {
            self.uncounted.clear();
        }
        if self.uncounted.is_empty() {
            self.confirmed = self.confirmed.max(place);
        }
    }
}

/// The keys of all tables at the offset `$1`. They are stored in the transaction of what changes them, so they are there when it comes.
const KEYS: &str = "select keys::text from kluster_state.keys where at <= $1::bigint order by at desc limit 1";
