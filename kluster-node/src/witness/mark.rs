//! Mark: a node that stopped because it differed does not serve again from the same database.
//!
//! Two places tell of it. The state row does, which a restored or emptied database does not have; and the node's own last heartbeat, where the state row could
//! not be written before the process ended.
//!
//! Neighbours: the `Witness` asks before the node serves; `node::lanes` writes the state row when the node has stopped.

use super::Witness;
use crate::dbms::{Dbms, Finish};
use crate::fault::{Cause, Fault};
use crate::start;
use crate::state::{Diverged, State};
use crate::status::Status;
use kluster_log::LogIdentity;
use kluster_protocol::{Chain, DIVERGED, EffectsReport, Heartbeat, NodeId, NodeState, Offset, RunningEffects};

/// Where, and with which chain, this node stopped before it was started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Its applied offset.
    pub at: Offset,
    /// The chain there.
    pub chain: Chain,
    /// What differed, where that was told.
    pub diverged: Option<Diverged>,
}

impl Marked {
    /// By the state row of this node's database.
    pub(super) fn of_state(state: &State) -> Option<Self> {
        let diverged = Some(state.diverged.clone()?);
        Some(Self { at: state.applied, chain: state.chain, diverged })
    }

    /// By what this node itself said last before it was started.
    pub(super) fn of_heartbeat(heartbeat: &Heartbeat) -> Option<Self> {
        let stopped = matches!(&heartbeat.state, NodeState::Stopped { code, .. } if code == DIVERGED);
        let (at, chain) = heartbeat.applied.zip(heartbeat.chain).filter(|_| stopped)?;
        let effects = heartbeat.effects.as_ref();
        let diverged =
            effects.and_then(|effects| Some(Diverged { offset: effects.differs_at?, effects: running(effects) }));
        Some(Self { at, chain, diverged })
    }

    fn effects(&self) -> Option<&RunningEffects> {
        self.diverged.as_ref()?.effects.as_ref()
    }
}

fn running(report: &EffectsReport) -> Option<RunningEffects> {
    let EffectsReport { means, since, at, running, .. } = report;
    Some(RunningEffects { means: *means, since: *since, at: *at, running: (*running)?, points: Vec::new() })
}

impl Witness {
    /// This node's database holds this state.
    pub fn remember_state(&mut self, state: &State) {
        self.marks.0 = Marked::of_state(state);
    }

    /// What this node itself said last before it was started.
    pub fn remember_own(&mut self, heartbeat: &Heartbeat) {
        self.marks.1 = Marked::of_heartbeat(heartbeat).filter(|_| self.follows_same(heartbeat));
    }

    /// This node stopped because it differed, is a member still, and its database is where it was then: its offset and chain. A strict majority
    /// of voters that is there with the same chain, and effects where it was for these, or was further on with them clears the node.
    pub fn marked(&self, status: &Status) -> Option<Marked> {
        // The state row knows better.
        let marked = self.marks.0.as_ref().or(self.marks.1.as_ref())?;
        let (at, chain, now) = (marked.at, marked.chain, status.now());
        let membership = self.newest(status);
        if now.applied != Some(at) || now.chain != Some(chain) || membership.role(&self.run.node).is_none() {
            return None;
        }
        let shares = |name: &&NodeId| match self.others.get(*name) {
            Some(other) => {
                let by_chain = other.chains.get(&at) == Some(&chain) || other.by_chain.agreed >= Some(at);
                by_chain && marked.effects().is_none_or(|ours| other.shares_effects(ours))
            }
            None => **name == self.run.node,
        };
        let sharing = membership.voters.iter().filter(shares).count();
        (sharing * 2 <= membership.voters.len()).then(|| marked.clone())
    }
}

/// Writes into the database that the node stopped because it differs, behind the claim. A database that has applied nothing has no row to hold it.
pub async fn write(
    dbms: &mut Dbms,
    node: &NodeId,
    identity: &LogIdentity,
    status: &Status,
    diverged: Diverged,
) -> Result<(), Fault> {
    let Some(mut state) = start::stored(dbms, node, identity).await? else { return Ok(()) };
    let predecessor = Some(state.applied);
    dbms.run(predecessor, &[]).await?;
    if !dbms.effects().means().is_synchronous() {
        state.effects = status.effects().counted();
    }
    state.diverged = Some(diverged);
    let json = |error: serde_json::Error| Fault::Fatal(Cause::new("state_unwritable", error.to_string()));
    let finish = Finish {
        predecessor,
        applied: state.applied,
        state: serde_json::to_string(&state).map_err(json)?,
        outcomes: None,
        prune_below: None,
        drop_rows_below: None,
    };
    match dbms.commit(&finish).await? {
        None => Ok(()),
        Some(refusal) => Err(Fault::Unknown(Cause::new("state_unwritable", refusal.message))),
    }
}
