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

/// The place where the node's status stands. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Status(watch::Sender<Now>);

impl Default for Status {
    fn default() -> Self {
        let now = Now {
            state: NodeState::Starting,
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

    /// This many offsets were passed for which no record came.
    pub fn hole(&self, count: u64) {
        self.0.send_modify(|now| now.holes += count);
    }
}
