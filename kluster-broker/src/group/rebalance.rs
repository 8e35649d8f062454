//! A rebalance: from the first sign that the members differ from the generation to the answers that begin the next one.

use super::Group;
use super::member::Member;
use super::state::{Initial, State};
use kafka_protocol::ResponseError;
use std::time::{Duration, Instant};

/// However little time the members ask for: one that hears of the rebalance by a heartbeat must be able to answer it.
const SHORTEST_REBALANCE: Duration = Duration::from_secs(1);

impl Group {
    /// The members changed, or one of them wants a new generation.
    pub(super) fn rebalance(&mut self, now: Instant) {
        match self.state {
            State::Dead => {}
            State::PreparingRebalance { .. } => self.complete_if_all_joined(now),
            _ => self.prepare(now),
        }
    }

    /// Asks everybody to join again; who waits for an assignment learns it at once, all others by their next heartbeat.
    pub(super) fn prepare(&mut self, now: Instant) {
        if matches!(self.state, State::CompletingRebalance { .. }) {
            for member in self.members.values_mut() {
                if member.refuse_sync(ResponseError::RebalanceInProgress, &mut self.replies) {
                    member.touch(now);
                }
            }
        }
        let (delay, last) = (self.limits.initial_delay, now + self.rebalance_timeout());
        if self.is_empty() && !delay.is_zero() {
            let initial = Some(Initial { last, grew: false });
            self.state = State::PreparingRebalance { until: (now + delay).min(last), initial };
        } else if self.is_empty() {
            self.state = State::PreparingRebalance { until: now, initial: None };
            self.complete(now); // whoever has been promised an id and comes later makes a rebalance of its own
        } else {
            self.state = State::PreparingRebalance { until: last, initial: None };
            self.complete_if_all_joined(now);
        }
    }

    pub(super) fn complete_if_all_joined(&mut self, now: Instant) {
        let initial = matches!(self.state, State::PreparingRebalance { initial: Some(_), .. });
        let joined =
            !initial && self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some());
        if joined || self.members.is_empty() {
            self.complete(now);
        }
    }

    /// The wait of `PreparingRebalance` is over.
    pub(super) fn join_time_over(&mut self, now: Instant, until: Instant, initial: Option<Initial>) {
        match initial {
            Some(Initial { last, grew: true }) if until < last => {
                let until = (now + self.limits.initial_delay).min(last);
                self.state = State::PreparingRebalance { until, initial: Some(Initial { last, grew: false }) };
            }
            _ => self.complete(now),
        }
    }

    /// Begins the next generation with those who joined. Static members keep their place although they did not: they may be restarting, and
    /// their session decides.
    fn complete(&mut self, now: Instant) {
        let late = |member: &Member| member.joining.is_none() && member.instance_id.is_none();
        let late: Vec<String> =
            self.members.iter().filter(|(_, member)| late(member)).map(|(id, _)| id.clone()).collect();
        for id in late {
            self.remove(&id, ResponseError::UnknownMemberId);
        }
        if self.members.is_empty() {
            self.next_generation();
            self.protocol = None;
            self.leader = None;
            self.state = State::Empty { since: now };
        } else if self.elect() {
            self.next_generation();
            self.protocol = self.select_protocol();
            self.state = State::CompletingRebalance { until: now + self.rebalance_timeout() };
            self.answer_joins(now);
        } else {
            let until = now + self.rebalance_timeout();
            self.state = State::PreparingRebalance { until, initial: None };
        }
    }

    fn next_generation(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(1); // as many rebalances as there are numbers: begin again
    }

    /// The leader stays if it joined; else one who did becomes it. False if nobody joined.
    fn elect(&mut self) -> bool {
        let joined = |id: &String| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            let next = self.members.iter().find(|(_, member)| member.joining.is_some());
            let Some((next, _)) = next else { return false };
            self.leader = Some(next.clone());
        }
        true
    }

    fn answer_joins(&mut self, now: Instant) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.synced = false;
            if let Some(token) = member.joining.take() {
                member.settled();
                member.touch(now);
                self.replies.join(token, Ok(joined));
            }
        }
    }

    /// The protocol that most members like best among those that all of them know; the leader's liking decides between equals.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let first =
            self.leader.as_ref().and_then(|leader| self.members.get(leader)).or(self.members.values().next())?;
        let known_to_all = |name: &str| self.members.values().all(|member| member.knows(name));
        let candidates: Vec<&str> =
            first.protocols.iter().map(|protocol| protocol.name.as_str()).filter(|name| known_to_all(name)).collect();
        let vote = |member: &Member| {
            let liked = member.protocols.iter().find(|protocol| candidates.contains(&protocol.name.as_str()));
            liked.map(|protocol| protocol.name.clone())
        };
        let votes: Vec<String> = self.members.values().filter_map(vote).collect();
        let count = |name: &str| votes.iter().filter(|vote| vote.as_str() == name).count();
        let best = candidates.iter().rev().max_by_key(|name| count(name));
        best.map(|name| (*name).to_owned())
    }

    /// As long as the slowest member needs.
    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default().max(SHORTEST_REBALANCE)
    }
}
