//! Every: when a node asks for a check by itself.
//!
//! Neighbours: the ALL lane asks whenever it is at the end of the log.
//!
//! Any voter may ask: its record names the newest check that it knows, so of several records one changes something and the others change
//! nothing. A check decides no outcome, so its schedule need not be in the log: each node has its own, and the shortest one is the cluster's.

use super::ask;
use crate::membership::control;
use crate::state::State;
use kluster_log::Log;
use kluster_protocol::{NodeId, Role, Topic};
use std::time::Duration;
use tokio::time::Instant;

/// A check after so many offsets, where effects are compared.
pub const OFFSETS: u64 = 100_000;
/// A check after so many seconds, where effects are compared.
pub const SECONDS: u64 = 3600;
/// Where effects are not compared, a check comes so many times as often.
pub const OFTENER: u64 = 6;

/// The voters ask one after the other, so that one record is enough in most cases.
const APART: Duration = Duration::from_secs(2);

/// How often a check is asked for: after so many offsets or seconds since the newest one, 0 for never; none: [`OFFSETS`] and [`SECONDS`], or an
/// [`OFTENER`]th of them where effects are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckEvery {
    /// Offsets.
    pub offsets: Option<u64>,
    /// Seconds.
    pub seconds: Option<u64>,
}

/// Asks for checks.
#[derive(Debug)]
pub struct Proposer {
    node: NodeId,
    every: CheckEvery,
    /// When this run of the node began, in milliseconds since 1970: before the first check, time counts from here.
    since_ms: u64,
    /// The newest check for which another is due, and since when.
    due: Option<(u64, Instant)>,
    asked: Option<u64>,
}

impl Proposer {
    /// Asks on behalf of `node`, which began now.
    pub fn new(node: NodeId, every: CheckEvery, now_ms: u64) -> Self {
        Self { node, every, since_ms: now_ms, due: None, asked: None }
    }

    /// Asks if it is time and this node is a voter; `compared`: so are its effects.
    pub async fn ask(&mut self, log: &Log, state: &State, now_ms: u64, compared: bool) {
        let number = state.check.number;
        if self.asked == Some(number) || !self.is_due(state, now_ms, compared) {
            return;
        }
        let place = state.membership.voters.iter().position(|voter| *voter == self.node);
        let Some(place) = place.filter(|_| state.membership.role(&self.node) == Some(Role::Voter)) else { return };
        let since = match self.due {
            Some((of, since)) if of == number => since,
            _ => Instant::now(),
        };
        self.due = Some((number, since));
        if since.elapsed() < APART.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX)) {
            return;
        }
        let check = ask(format!("periodic-{}", number + 1), Some(number), 0);
        match log.append(Topic::All, None, control(&check)).await {
            Ok(appended) => {
                tracing::info!(node = %self.node, number, offset = %appended.offset, "asked for a check");
                self.asked = Some(number);
            }
            Err(error) => tracing::warn!(node = %self.node, %error, "could not ask for a check yet"),
        }
    }

    fn is_due(&self, state: &State, now_ms: u64, compared: bool) -> bool {
        let newest = &state.check;
        let part = if compared { 1 } else { OFTENER };
        let (offsets, seconds) =
            (self.every.offsets.unwrap_or(OFFSETS / part), self.every.seconds.unwrap_or(SECONDS / part));
        let since_ms = if newest.number == 0 { self.since_ms } else { u64::try_from(newest.at_ms).unwrap_or_default() };
        let passed = state.applied.get().saturating_sub(newest.offset.get());
        let seconds_passed = now_ms.saturating_sub(since_ms) / 1000;
        (offsets > 0 && passed >= offsets) || (seconds > 0 && seconds_passed >= seconds)
    }
}
