//! Members: join, sync, heartbeat, leave; and who they are.

use super::{Coordinator, check_group_id, now};
use crate::group::{Group, Identity, Join, JoinAnswer, JoinRefused, Member, Sync, SyncAnswer};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use uuid::Uuid;

/// A group as DescribeGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) state: &'static str,
    pub(crate) protocol_type: String,
    /// Empty unless the group is stable.
    pub(crate) protocol: String,
    pub(crate) members: Vec<DescribedMember>,
}

/// One of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribedMember {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    /// Of the selected protocol, in a stable group.
    pub(crate) metadata: Bytes,
    /// In a stable group.
    pub(crate) assignment: Bytes,
}

impl Coordinator {
    /// A join; answered when the next generation begins, or sooner if it is refused.
    pub(crate) async fn join(&self, group: &str, join: Join) -> JoinAnswer {
        let member_id = join.who.member_id.clone();
        let refused = |error| Err(JoinRefused { error, member_id: member_id.clone() });
        let answer = match self.begin_join(group, join) {
            Ok(answer) => answer,
            Err(error) => return refused(error),
        };
        answer.await.unwrap_or_else(|_| refused(ResponseError::CoordinatorNotAvailable))
    }

    fn begin_join(&self, group: &str, join: Join) -> Result<tokio::sync::oneshot::Receiver<JoinAnswer>, ResponseError> {
        check_group_id(group)?;
        let settings = &self.0.settings;
        if !(settings.min_session_timeout..=settings.max_session_timeout).contains(&join.session_timeout) {
            return Err(ResponseError::InvalidSessionTimeout);
        }
        let mut state = self.state();
        if state.drained {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let bytes = state.groups.get(group).map_or(join.bytes(), |group| group.grows_by(&join));
        if bytes > 0 && !state.groups.has_room(bytes) {
            tracing::warn!(group, bytes, "a join is refused: groups take all the memory they may");
            return Err(ResponseError::PolicyViolation);
        }
        if state.groups.get(group).is_none() {
            if !join.who.member_id.is_empty() {
                return Err(ResponseError::UnknownMemberId);
            }
            state.groups.check_one_more()?;
        }
        let fresh_id = fresh_id(&join);
        let (token, answer) = state.groups.await_join();
        state.groups.with_new(now(), group, |group| group.join(now(), token, join, &fresh_id));
        self.hurry(&state);
        Ok(answer)
    }

    /// A sync; answered when the leader's assignment is there, or sooner if it is refused.
    pub(crate) async fn sync(&self, group: &str, sync: Sync) -> SyncAnswer {
        check_group_id(group)?;
        let answer = {
            let mut state = self.state();
            let bytes: usize = sync.assignments.iter().map(|(_, assignment)| assignment.len()).sum();
            if !state.groups.has_room(bytes) {
                tracing::warn!(group, bytes, "an assignment is refused: groups take all the memory they may");
                return Err(ResponseError::PolicyViolation);
            }
            state.groups.get(group).ok_or(ResponseError::UnknownMemberId)?;
            let (token, answer) = state.groups.await_sync();
            state.groups.with(group, |group| group.sync(now(), token, sync));
            self.hurry(&state);
            answer
        };
        answer.await.unwrap_or(Err(ResponseError::CoordinatorNotAvailable))
    }

    /// A sign of life.
    ///
    /// # Errors
    /// `REBALANCE_IN_PROGRESS` asks the member to join again; all others say that it is not in this generation.
    pub(crate) fn heartbeat(&self, group: &str, who: &Identity, generation: i32) -> Result<(), ResponseError> {
        check_group_id(group)?;
        let alive = self.with(group, |group| group.heartbeat(now(), who, generation));
        alive.unwrap_or(Err(ResponseError::UnknownMemberId))
    }

    /// Members leave; what came of each, in the same order.
    ///
    /// # Errors
    /// The group id can't be one, or the coordinator stops.
    pub(crate) fn leave(
        &self,
        group: &str,
        leaving: &[Identity],
    ) -> Result<Vec<Result<(), ResponseError>>, ResponseError> {
        check_group_id(group)?;
        let left = self.with(group, |group| group.leave(now(), leaving));
        left.unwrap_or_else(|| Ok(vec![Err(ResponseError::UnknownMemberId); leaving.len()]))
    }

    /// What is known of a group; none if there is none.
    pub(crate) fn describe(&self, group: &str) -> Option<Described> {
        self.state().groups.get(group).map(describe)
    }
}

/// An id that nobody has, and that says whose it is. Kafka's have the same form.
fn fresh_id(join: &Join) -> String {
    let name = join.who.instance_id.as_ref().unwrap_or(&join.client_id);
    format!("{name}-{}", Uuid::new_v4())
}

fn describe(group: &Group) -> Described {
    let protocol = group.settled_protocol();
    let member = |(id, member): (&str, &Member)| DescribedMember {
        member_id: id.to_owned(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: protocol.map(|protocol| member.metadata(protocol)).unwrap_or_default(),
        assignment: if protocol.is_some() { member.assignment.clone() } else { Bytes::new() },
    };
    Described {
        state: group.state(),
        protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
        protocol: protocol.unwrap_or_default().to_owned(),
        members: group.members().map(member).collect(),
    }
}
