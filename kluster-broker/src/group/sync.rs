//! SyncGroup: the leader's assignment comes in, and goes out to everybody.

use super::Group;
use super::event::{Sync, Token};
use super::state::State;
use bytes::Bytes;
use kafka_protocol::ResponseError;
use std::collections::BTreeMap;
use std::time::Instant;

impl Group {
    /// A member asks for its assignment. It is answered under `token`: now, or when the leader's assignment is there.
    pub(crate) fn sync(&mut self, now: Instant, token: Token, sync: Sync) {
        if let Err(error) = self.check_sync(&sync) {
            self.replies.sync(token, Err(error));
            return;
        }
        let id = sync.who.member_id;
        let leads = self.leader.as_ref() == Some(&id);
        let (protocol_type, protocol) = self.chosen();
        let Some(member) = self.members.get_mut(&id) else { return };
        member.touch(now);
        member.synced = true;
        match self.state {
            State::CompletingRebalance { until } => {
                member.wait_to_sync(token, &mut self.replies);
                if leads {
                    self.assign(now, until, sync.assignments.into_iter().collect());
                }
            }
            _ => self.replies.sync(token, Ok(member.synced(protocol_type, protocol))),
        }
        self.forget_sync_deadline();
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), ResponseError> {
        self.check_member(&sync.who)?;
        self.check_generation(sync.generation)?;
        let differs = |said: &Option<String>, holds: &Option<String>| said.is_some() && said != holds;
        if matches!(self.state, State::PreparingRebalance { .. }) {
            return Err(ResponseError::RebalanceInProgress);
        }
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// Gives everybody what the leader says, which is nothing for those it does not name, and answers all who wait for it.
    fn assign(&mut self, now: Instant, until: Instant, mut assignments: BTreeMap<String, Bytes>) {
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
        }
        self.state = State::Stable { until: Some(until) };
        let (protocol_type, protocol) = self.chosen();
        for member in self.members.values_mut() {
            if let Some(token) = member.syncing.take() {
                member.touch(now);
                self.replies.sync(token, Ok(member.synced(protocol_type.clone(), protocol.clone())));
            }
        }
    }

    fn chosen(&self) -> (String, String) {
        (self.protocol_type.clone().unwrap_or_default(), self.protocol.clone().unwrap_or_default())
    }

    /// Nobody is to be removed for not asking once everybody has asked.
    fn forget_sync_deadline(&mut self) {
        if matches!(self.state, State::Stable { .. }) && self.members.values().all(|member| member.synced) {
            self.state = State::Stable { until: None };
        }
    }
}
