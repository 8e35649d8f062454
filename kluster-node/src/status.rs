//! Status: what the node says of itself, in one place: heartbeats, the HTTP port and reads that wait for an offset look here.
//!
//! Neighbours: the ALL lane writes it; `heartbeat`, `http`, `witness` and the ONE lane read it.

use crate::effects::EffectsTrail;
use crate::retry::LOCK_WAIT;
use crate::state::State;
use kluster_protocol::{Chain, ChainPoint, Halt, Membership, NodeState, Offset, Running};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Where its last batches ended, the node knows its chain for so many of them: at up to some hundred requests a second, longer than a
/// heartbeat of another node is old when it comes. In a busier cluster the chains at shared points are compared.
const RECENT: usize = 1024;

/// What the node says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Now {
    /// What it is doing.
    pub state: NodeState,
    /// Why it answers no reads of ONE at present, though it should.
    pub reads_away: Option<Away>,
    /// The log has not taken its heartbeat for some seconds.
    pub unheard: Option<Away>,
    /// How often a batch of ONE could not be decoded.
    pub reads_undecodable: u64,
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
    /// Where it waits for a decision.
    pub halt: Option<Halt>,
    /// The ALL lane obeys every decision below this place of DECISIONS.
    pub obeys: Option<Offset>,
    /// See [`crate::former`]; none: nothing, or it is not known yet.
    pub may_have_applied: Option<Offset>,
    /// It is known what this node may have applied in a database that it no longer has.
    pub former_known: bool,
    /// What has been executing for some seconds.
    pub running: Option<Running>,
}

/// Something is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// What it is called in reports.
    pub code: String,
}

impl Now {
    /// It has stopped by what no decision can mend. A node that waits for a decision has not: it must stay up to hear of it.
    pub fn has_stopped(&self) -> bool {
        matches!(self.state, NodeState::Stopped { .. }) && self.halt.is_none()
    }

    /// It is at the end of the log, answers reads, and can be heard by the others.
    pub fn is_ready(&self) -> bool {
        self.state == NodeState::Ready && self.reads_away.is_none() && self.unheard.is_none()
    }
}

/// The place where the node's status stands. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Status {
    now: watch::Sender<Now>,
    /// The chain where the last batches ended, the oldest first.
    recent: Arc<Mutex<VecDeque<ChainPoint>>>,
    effects: EffectsTrail,
}

impl Default for Status {
    fn default() -> Self {
        let now = Now {
            state: NodeState::Starting,
            reads_away: None,
            unheard: None,
            reads_undecodable: 0,
            applied: None,
            answered: None,
            chain: None,
            points: Vec::new(),
            membership: Membership::default(),
            window: None,
            holes: 0,
            halt: None,
            obeys: None,
            may_have_applied: None,
            former_known: false,
            running: None,
        };
        Self { now: watch::Sender::new(now), recent: Arc::default(), effects: EffectsTrail::default() }
    }
}

impl Status {
    /// Follows the status.
    pub fn watch(&self) -> watch::Receiver<Now> {
        self.now.subscribe()
    }

    /// The status now.
    pub fn now(&self) -> Now {
        self.now.borrow().clone()
    }

    /// The node's batch waits for a lock that somebody beside Kluster holds.
    pub fn waits_for_lock(&self) -> bool {
        matches!(&self.now.borrow().state, NodeState::Retrying { code, .. } if code == LOCK_WAIT)
    }

    /// The node is doing this.
    pub fn is(&self, state: NodeState) {
        self.now.send_if_modified(|now| {
            let changed = now.state != state;
            now.state = state;
            changed
        });
    }

    /// The database holds this state.
    pub fn applied(&self, state: &State) {
        self.remember(ChainPoint { offset: state.applied, chain: state.chain });
        self.now.send_modify(|now| {
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

    /// What is known of the effects.
    pub fn effects(&self) -> &EffectsTrail {
        &self.effects
    }

    /// This node's chain at an offset, where it is known still.
    pub fn chain_at(&self, offset: Offset) -> Option<Chain> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(place) = recent.binary_search_by_key(&offset, |point| point.offset) {
            return Some(recent[place].chain);
        }
        let now = self.now.borrow();
        now.points.iter().find(|point| point.offset == offset).map(|point| point.chain)
    }

    /// A database that lost its last batches in a crash goes back; what was known beyond is forgotten.
    fn remember(&self, point: ChainPoint) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.back().is_some_and(|last| last.offset >= point.offset) {
            recent.pop_back();
        }
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(point);
    }

    /// Every record below `next` is answered, and the log has noted so.
    pub fn answered(&self, next: Offset) {
        self.now.send_modify(|now| now.answered = Some(next));
    }

    /// Reads of ONE are not answered, or are again.
    pub fn reads_are(&self, away: Option<Away>) {
        self.now.send_if_modified(|now| {
            let changed = now.reads_away != away;
            now.reads_away = away;
            changed
        });
    }

    /// Heartbeats are not taken by the log, or are again.
    pub fn is_unheard(&self, away: Option<Away>) {
        self.now.send_if_modified(|now| {
            let changed = now.unheard != away;
            now.unheard = away;
            changed
        });
    }

    /// So often a batch of ONE could not be decoded.
    pub fn reads_undecodable(&self, count: u64) {
        self.now.send_if_modified(|now| {
            now.reads_undecodable += count;
            count > 0
        });
    }

    /// The node waits for a decision, and is in this state; or waits no longer.
    pub fn halts(&self, halt: Option<Halt>, state: NodeState) {
        self.now.send_modify(|now| (now.halt, now.state) = (halt, state));
    }

    /// This node may have applied up to here in a database that it no longer has.
    pub fn may_have_applied(&self, newest: Option<Offset>) {
        self.now.send_modify(|now| (now.may_have_applied, now.former_known) = (newest, true));
    }

    /// The ALL lane obeys every decision below `next`: said once it is known what this node may have applied before.
    pub fn obeys(&self, next: Offset) {
        self.now.send_if_modified(|now| {
            let changed = now.former_known && now.obeys != Some(next);
            now.obeys = Some(next).filter(|_| now.former_known);
            changed
        });
    }

    /// A batch has been executing for some seconds, or no longer does.
    pub fn runs(&self, running: Option<Running>) {
        self.now.send_if_modified(|now| {
            let changed = now.running != running;
            now.running = running;
            changed
        });
    }

    /// This many offsets were passed for which no record came.
    pub fn hole(&self, count: u64) {
        self.now.send_modify(|now| now.holes += count);
    }
}
