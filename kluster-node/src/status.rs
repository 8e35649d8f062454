//! Status: what the node says of itself, in one place: heartbeats, the HTTP port and reads that wait for an offset look here.
//!
//! Neighbours: the ALL lane writes it; `heartbeat`, `http` and the ONE lane read it.

use crate::state::State;
use kluster_protocol::{Chain, ChainPoint, Membership, NodeState, Offset};
use tokio::sync::watch;

/// What the node says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Now {
    /// What it is doing.
    pub state: NodeState,
    /// Why it answers no reads of ONE at present, though it should.
    pub reads_away: Option<Away>,
    /// Records of ONE that could not be decoded and were passed over.
    pub reads_passed_over: u64,
    /// The last offset in its database.
    pub applied: Option<Offset>,
    /// Every record below this is answered, and the log has noted so.
    pub answered: Option<Offset>,
    /// The chain there.
    pub chain: Option<Chain>,
    /// The chain at shared points.
    pub points: Vec<ChainPoint>,
    /// The members as it knows them.
    pub membership: Membership,
    /// For how many offsets it remembers outcomes.
    pub window: Option<u64>,
    /// Offsets that no record came for: holes left by the log.
    pub holes: u64,
}

/// Something is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// What it is called in reports.
    pub code: String,
}

/// The place where the node's status stands. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Status(watch::Sender<Now>);

impl Default for Status {
    fn default() -> Self {
        let now = Now {
            state: NodeState::Starting,
            reads_away: None,
            reads_passed_over: 0,
            applied: None,
            answered: None,
            chain: None,
            points: Vec::new(),
            membership: Membership::default(),
            window: None,
            holes: 0,
        };
        Self(watch::Sender::new(now))
    }
}

impl Status {
    /// Follows the status.
    pub fn watch(&self) -> watch::Receiver<Now> {
        self.0.subscribe()
    }

    /// The status now.
    pub fn now(&self) -> Now {
        self.0.borrow().clone()
    }

    /// The node is doing this.
    pub fn is(&self, state: NodeState) {
        self.0.send_if_modified(|now| {
            let changed = now.state != state;
            now.state = state;
            changed
        });
    }

    /// The database holds this state.
    pub fn applied(&self, state: &State) {
        self.0.send_modify(|now| {
            now.applied = Some(state.applied);
            now.chain = Some(state.chain);
            now.window = Some(state.window);
            if now.points.first() != state.points.first() {
                now.points.clone_from(&state.points);
            }
            if now.membership.version != state.membership.version {
                now.membership.clone_from(&state.membership);
            }
        });
    }

    /// Every record below `next` is answered, and the log has noted so.
    pub fn answered(&self, next: Offset) {
        self.0.send_modify(|now| now.answered = Some(next));
    }

    /// Reads of ONE are not answered, or are again.
    pub fn reads_are(&self, away: Option<Away>) {
        self.0.send_if_modified(|now| {
            let changed = now.reads_away != away;
            now.reads_away = away;
            changed
        });
    }

    /// This many records of ONE could not be decoded and were passed over.
    pub fn reads_passed_over(&self, count: u64) {
        self.0.send_modify(|now| now.reads_passed_over += count);
    }

    /// This many offsets were passed for which no record came.
    pub fn hole(&self, count: u64) {
        self.0.send_modify(|now| now.holes += count);
    }
}
