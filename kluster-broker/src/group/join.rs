//! JoinGroup: who comes in, who comes back, and who takes a static member's place.

use super::event::{Join, JoinRefused, Joined, Token};
use super::member::{Member, protocol_bytes};
use super::state::State;
use super::{Group, Limits};
use kafka_protocol::ResponseError;
use std::time::Instant;

/// Protocols that one member may know. Clients know one to three; the time to select one grows with them.
const MAX_PROTOCOLS: usize = 50;

impl Group {
    /// A join. It is answered under `token`, now or when the generation begins. `fresh_id` is the member's id if it needs one; nobody has it yet.
    pub(crate) fn join(&mut self, now: Instant, token: Token, join: Join, fresh_id: &str) {
        let asked_as = join.who.member_id.clone();
        let joined = match self.check_join(&join) {
            Err(error) => Err(error),
            Ok(()) if asked_as.is_empty() => self.join_unknown(now, token, join, fresh_id),
            Ok(()) => self.join_known(now, token, join),
        };
        if let Err(error) = joined {
            let member_id = if error == ResponseError::MemberIdRequired { fresh_id.to_owned() } else { asked_as };
            self.replies.join(token, Err(JoinRefused { error, member_id }));
        }
    }

    fn check_join(&self, join: &Join) -> Result<(), ResponseError> {
        if self.state == State::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        if join.protocols.len() > MAX_PROTOCOLS {
            return Err(ResponseError::InvalidRequest);
        }
        if protocol_bytes(&join.protocols) > self.limits.member_bytes {
            return Err(ResponseError::MessageTooLarge);
        }
        Ok(())
    }

    fn join_unknown(&mut self, now: Instant, token: Token, join: Join, fresh_id: &str) -> Result<(), ResponseError> {
        let holder = join.who.instance_id.as_deref().and_then(|instance| self.holder(instance)).map(str::to_owned);
        if !self.accepts(&join, holder.as_deref()) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        if let Some(holder) = holder {
            self.replace(now, token, join, &holder, fresh_id);
            return Ok(());
        }
        let Limits { members, .. } = self.limits;
        if self.members.len() + self.pending.len() >= members {
            return Err(ResponseError::GroupMaxSizeReached);
        }
        if join.id_first && join.who.instance_id.is_none() {
            self.pending.insert(fresh_id.to_owned(), now + join.session_timeout);
            return Err(ResponseError::MemberIdRequired);
        }
        self.add(now, token, join, fresh_id);
        Ok(())
    }

    fn join_known(&mut self, now: Instant, token: Token, join: Join) -> Result<(), ResponseError> {
        let id = join.who.member_id.clone();
        if self.pending.contains_key(&id) {
            if join.who.instance_id.is_some() {
                return Err(ResponseError::UnknownMemberId); // ids are promised to dynamic members only
            }
            if !self.accepts(&join, None) {
                return Err(ResponseError::InconsistentGroupProtocol);
            }
            self.pending.remove(&id);
            self.add(now, token, join, &id);
            return Ok(());
        }
        self.check_member(&join.who)?;
        if !self.accepts(&join, Some(&id)) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        self.rejoin(now, token, join);
        Ok(())
    }

    /// Can the group select a protocol with this member, and without `except`, whom it replaces?
    fn accepts(&self, join: &Join, except: Option<&str>) -> bool {
        if join.protocol_type.is_empty() || join.protocols.is_empty() {
            return false;
        }
        let mut others = self.members.iter().filter(|(id, _)| Some(id.as_str()) != except).peekable();
        if others.peek().is_none() {
            return true;
        }
        let others: Vec<&Member> = others.map(|(_, member)| member).collect();
        self.protocol_type.as_deref() == Some(join.protocol_type.as_str())
            && join.protocols.iter().any(|protocol| others.iter().all(|member| member.knows(&protocol.name)))
    }

    fn add(&mut self, now: Instant, token: Token, join: Join, id: &str) {
        self.protocol_type = Some(join.protocol_type.clone());
        if let State::PreparingRebalance { initial: Some(initial), .. } = &mut self.state {
            initial.grew = true;
        }
        let mut member = Member::new(join, now);
        member.wait_to_join(token, id, &mut self.replies);
        self.members.insert(id.to_owned(), member);
        self.leader.get_or_insert_with(|| id.to_owned());
        self.rebalance(now);
    }

    /// A member that is known joins again. It waits for the next generation if it has something new to say, or leads; else the present one is
    /// its answer: it may have missed it.
    fn rejoin(&mut self, now: Instant, token: Token, join: Join) {
        let id = join.who.member_id.clone();
        let same = self.members.get(&id).is_some_and(|member| member.protocols == join.protocols);
        let stands = match self.state {
            State::CompletingRebalance { .. } => same,
            State::Stable { .. } => same && self.leader.as_ref() != Some(&id),
            _ => false,
        };
        if stands {
            self.touch(now, &id);
            let joined = self.joined(&id);
            self.replies.join(token, Ok(joined));
            return;
        }
        self.wait_again(now, token, join, &id);
        self.rebalance(now);
    }

    /// The member takes what the newest join says and waits with it.
    fn wait_again(&mut self, now: Instant, token: Token, join: Join, id: &str) {
        self.protocol_type = Some(join.protocol_type.clone());
        if let Some(member) = self.members.get_mut(id) {
            member.update(join, now);
            member.wait_to_join(token, id, &mut self.replies);
        }
    }

    /// A static member came back without its id: it restarted. It keeps its place, its assignment and the lead, under a new id; whoever still
    /// uses the old one is fenced. No rebalance is needed if the generation stands and its protocol remains the choice.
    fn replace(&mut self, now: Instant, token: Token, join: Join, old_id: &str, new_id: &str) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        member.refuse(ResponseError::FencedInstanceId, old_id, &mut self.replies);
        let led = self.leader.as_deref() == Some(old_id);
        if led {
            self.leader = Some(new_id.to_owned());
        }
        let may_skip_assignment = join.may_skip_assignment;
        self.protocol_type = Some(join.protocol_type.clone());
        member.update(join, now);
        member.settled();
        self.members.insert(new_id.to_owned(), member);
        if matches!(self.state, State::Stable { .. }) && self.select_protocol() == self.protocol {
            let mut joined = self.joined(new_id);
            joined.skip_assignment = led && may_skip_assignment;
            if led && !may_skip_assignment {
                // A client that cannot be told to skip must not take itself for the leader: it would assign without a rebalance.
                joined.leader = old_id.to_owned();
                joined.members.clear();
            }
            self.replies.join(token, Ok(joined));
            return;
        }
        if let Some(member) = self.members.get_mut(new_id) {
            member.wait_to_join(token, new_id, &mut self.replies);
        }
        self.rebalance(now);
    }

    /// What this member is told of the present generation.
    pub(super) fn joined(&self, id: &str) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_default();
        let leader = self.leader.clone().unwrap_or_default();
        let members = if leader == id {
            self.members.iter().map(|(id, member)| member.for_leader(id, &protocol)).collect()
        } else {
            Vec::new()
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol,
            leader,
            member_id: id.to_owned(),
            members,
            skip_assignment: false,
        }
    }
}
