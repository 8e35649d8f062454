//! SQLite: the adapter that has its DBMS inside. Every call is synchronous, so it runs on one thread of its own, or, when `inline`, on the
//! calling one, where a simulated cluster stays deterministic.
//!
//! Neighbours, in the direction of a batch: `address` (which file, held by whom), `seat` (which thread), `session` (claim, store, commit; `pins` and `tables` set it up),
//! `execute` (the works), `guard` (what user SQL may touch), `cell` (params and values), `effects` (what they changed), `errors`; `keys` is asked
//! before; `reads` is the door of ONE, `snapshot` that of checks.
//!
//! Beyond the contract of [`super`]
//! 1. The write lock is taken by the claim (`BEGIN IMMEDIATE`) and nothing ever waits for a lock: a busy database is [`Fault::LockWait`].
//! 2. A dropped future leaves at most an open transaction, which the next call rolls back first.
//! 3. State lies in the same file as the user's tables, under names that begin with `kluster_`; user SQL that names them is refused.

mod address;
mod cell;
mod effects;
mod errors;
mod execute;
#[allow(unsafe_code, reason = "what rusqlite does not offer; each block is justified there")]
mod ffi;
mod guard;
mod keys;
mod pins;
mod reader;
mod reads;
mod seat;
mod session;
mod snapshot;
mod surroundings;
mod tables;

use super::*;
use crate::fault::Cause;
use crate::step::Step;
use address::{Address, Lock};
use kluster_protocol::{EffectsMeans, Fingerprint};
pub use reads::Reads;
use seat::Seat;
pub use seat::{Interrupt, Orphan};
use session::Session;
pub use snapshot::{Snapshot, Snapshots};

/// The SQLite adapter.
#[derive(Debug)]
pub struct Sqlite {
    seat: Seat,
    address: Address,
    node_id: String,
    effects: bool,
    steps: Steps,
    reads: Reads,
    /// How many works the open transaction holds; none: no transaction that anyone waits for is open.
    open: Option<usize>,
    _lock: Lock,
}

impl Sqlite {
    /// Opens the file of the `sqlite:` address, creating it when its directory exists, and takes its lock. See [`Dbms::open`].
    pub async fn open(settings: &DbmsSettings) -> Result<Self, OpenError> {
        let address = Address::parse(&settings.url)?;
        let lock = Lock::take(&address)?;
        let seat = Seat::new(settings.inline)?;
        connect(&seat, &address, &settings.node_id, settings.effects).await?;
        let reads = Reads::new(address.clone(), settings.max_reads, settings.inline);
        Ok(Self {
            seat,
            address,
            node_id: settings.node_id.clone(),
            effects: settings.effects,
            steps: settings.steps.clone(),
            reads,
            open: None,
            _lock: lock,
        })
    }

    /// For simulations: keeps the session of a node that is about to be killed, with whatever transaction it has open.
    pub fn orphan(&self) -> Orphan {
        self.seat.orphan()
    }

    /// See [`Dbms::info`].
    pub fn info(&self) -> Info {
        Info { name: "SQLite", version: rusqlite::version().to_owned() }
    }

    /// See [`Dbms::fingerprint`].
    pub async fn fingerprint(&mut self) -> Result<Fingerprint, Fault> {
        surroundings::read().map_err(|error| Fault::Fatal(Cause::new("open", error.to_string())))
    }

    /// See [`Dbms::load`].
    pub async fn load(&mut self) -> Result<Option<StateRow>, Fault> {
        let clear = self.open.is_none();
        self.seat.on(move |session| session.read_state(clear)).await?
    }

    /// See [`Dbms::outcome_rows`].
    pub async fn outcome_rows(&mut self, from: Offset, limit: usize) -> Result<Vec<OutcomeRow>, Fault> {
        let clear = self.open.is_none();
        self.seat.on(move |session| session.outcome_rows(clear, from, limit)).await?
    }

    /// See [`Dbms::run`].
    pub async fn run(&mut self, predecessor: Option<Offset>, works: &[Work]) -> Result<Vec<Ran>, Fault> {
        self.open = None;
        self.seat.on(move |session| session.claim(predecessor)).await??;
        // BEGIN IMMEDIATE and the check are one call: whoever stops a node between them finds the same database as behind the claim.
        self.steps.reach(Step::Begun).await;
        self.steps.reach(Step::Claimed).await;
        self.steps.reach(Step::Executing).await;
        let ran = match works {
            [] => Vec::new(),
            works => self.execute(predecessor, works).await?,
        };
        self.steps.reach(Step::Executed).await;
        self.open = Some(works.len());
        Ok(ran)
    }

    /// See `Dbms::keys`.
    pub async fn keys(&mut self, table: &[String]) -> Result<Keys, Fault> {
        self.open = None;
        let name = table.last().cloned().unwrap_or_default();
        self.seat.on(move |session| session.keys(&name)).await?
    }

    async fn execute(&self, predecessor: Option<Offset>, works: &[Work]) -> Result<Vec<Ran>, Fault> {
        if self.seat.is_inline() {
            return self.seat.here(|session| session.execute(predecessor, works))?;
        }
        let works = works.to_vec();
        self.seat.on(move |session| session.execute(predecessor, &works)).await?
    }

    /// See [`Dbms::commit`].
    pub async fn commit(&mut self, finish: &Finish) -> Result<Option<Refusal>, Fault> {
        let Some(works) = self.open.take() else {
            return Err(Fault::Fatal(Cause::new("no_transaction", "commit without a run that went through before it")));
        };
        let finish = finish.clone();
        self.seat.on(move |session| session.store(&finish)).await??;
        self.steps.reach(Step::Stored).await;
        self.steps.reach(Step::Committing).await;
        let refusal = self.seat.on(move |session| session.commit(works)).await??;
        self.steps.reach(Step::Committed).await;
        Ok(refusal)
    }

    /// See [`Dbms::recover`].
    pub async fn recover(&mut self) -> Result<(), Fault> {
        self.open = None;
        self.seat.renew().await.map_err(|error| Fault::Lost(Cause::new("open", error.to_string())))?;
        match connect(&self.seat, &self.address, &self.node_id, self.effects).await {
            Ok(()) => Ok(()),
            Err(OpenError::Unreachable(why)) => Err(Fault::Lost(Cause::new("open", why))),
            Err(OpenError::Unusable(why)) => Err(Fault::Fatal(Cause::new("open", why))),
        }
    }

    /// Never: what is deferred is counted by SQLite and looked at behind each work.
    pub fn checks_late(&self) -> bool {
        false
    }

    /// See [`Dbms::effects`].
    pub fn effects(&self) -> EffectsBy {
        match self.effects {
            true => EffectsBy::Means(EffectsMeans::Transaction),
            false => EffectsBy::Nothing("they are switched off to measure their cost".to_owned()),
        }
    }

    /// See [`Dbms::effects_follower`].
    pub fn effects_follower(&self, _trail: EffectsTrail) -> Option<EffectsFollower> {
        None
    }

    /// See [`Dbms::reads`].
    pub fn reads(&self) -> Reads {
        self.reads.clone()
    }

    /// See [`Dbms::interrupt`].
    pub fn interrupt(&self) -> Interrupt {
        self.seat.interrupt()
    }

    /// See [`Dbms::snapshots`].
    pub fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.address.clone(), self.seat.is_inline())
    }

    /// See [`Dbms::close`].
    pub async fn close(self) {
        self.seat.close().await;
    }
}

/// Puts a fresh session on the seat; the former one, if any, is closed first and its transaction rolled back.
async fn connect(seat: &Seat, address: &Address, node_id: &str, effects: bool) -> Result<(), OpenError> {
    let (path, node_id, interrupt) = (address.path.clone(), node_id.to_owned(), seat.interrupt());
    seat.on_slot(move |slot| {
        drop(slot.take());
        let session = Session::connect(&path, &node_id, effects)?;
        interrupt.is_for(&session);
        *slot = Some(session);
        Ok(())
    })
    .await
    .map_err(|fault| OpenError::Unreachable(fault.to_string()))?
}
