//! Members go: they say so, somebody says so for them, or they are silent for too long.

use super::Group;
use super::event::Identity;
use super::member::Member;
use super::state::State;
use kafka_protocol::ResponseError;
use std::time::Instant;

impl Group {
    /// Removes these members, and says of each what came of it, in the same order. A static member may be named by its instance id alone.
    ///
    /// # Errors
    /// `COORDINATOR_NOT_AVAILABLE` when the group was drained.
    pub(crate) fn leave(
        &mut self,
        now: Instant,
        leaving: &[Identity],
    ) -> Result<Vec<Result<(), ResponseError>>, ResponseError> {
        if self.state == State::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let members = self.members.len();
        let results = leaving.iter().map(|who| self.leave_one(who)).collect();
        self.after_removal(now, self.members.len() < members);
        Ok(results)
    }

    /// Does what is due by now.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.pending.retain(|_, until| *until > now);
        let silent = |member: &Member| member.due().is_some_and(|due| due <= now);
        let silent: Vec<String> =
            self.members.iter().filter(|(_, member)| silent(member)).map(|(id, _)| id.clone()).collect();
        for id in &silent {
            self.remove(id, ResponseError::UnknownMemberId);
        }
        self.after_removal(now, !silent.is_empty());
        match self.state {
            State::PreparingRebalance { until, initial } if until <= now => self.join_time_over(now, until, initial),
            State::CompletingRebalance { until } | State::Stable { until: Some(until) } if until <= now => {
                self.sync_time_over(now);
            }
            _ => {}
        }
    }

    /// Takes a member out; whatever it waits for gets this error. If it led, the next generation elects another.
    pub(super) fn remove(&mut self, id: &str, error: ResponseError) {
        let Some(mut member) = self.members.remove(id) else { return };
        member.refuse(error, id, &mut self.replies);
    }

    fn leave_one(&mut self, who: &Identity) -> Result<(), ResponseError> {
        if self.pending.remove(&who.member_id).is_some() {
            return Ok(());
        }
        let id = match &who.instance_id {
            Some(instance) if who.member_id.is_empty() => self.holder(instance).map(str::to_owned),
            _ => self.check_member(who).map(|()| Some(who.member_id.clone()))?,
        };
        self.remove(&id.ok_or(ResponseError::UnknownMemberId)?, ResponseError::UnknownMemberId);
        Ok(())
    }

    /// Fewer members make another generation; and fewer that are waited for may be all that a rebalance waited for.
    fn after_removal(&mut self, now: Instant, members_went: bool) {
        match self.state {
            State::PreparingRebalance { .. } => self.complete_if_all_joined(now),
            State::CompletingRebalance { .. } | State::Stable { .. } if members_went => self.prepare(now),
            _ => {}
        }
    }

    /// Members that never asked for their assignment are removed; the leader may be one of them.
    fn sync_time_over(&mut self, now: Instant) {
        let silent: Vec<String> =
            self.members.iter().filter(|(_, member)| !member.synced).map(|(id, _)| id.clone()).collect();
        for id in silent {
            self.remove(&id, ResponseError::UnknownMemberId);
        }
        self.prepare(now);
    }
}
