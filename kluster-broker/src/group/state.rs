//! Where a group stands, and when it goes on by itself.

use std::time::Instant;

/// The states of Kafka's classic protocol, each with its own deadline.
///
/// ```text
///            first join                 all rejoined, or time is up             leader's sync
///   Empty ─────────────▶ PreparingRebalance ───────────────▶ CompletingRebalance ───────────▶ Stable
///     ▲                        ▲   │                                 │                           │
///     └── nobody left ─────────┼───┘◀── join, leave, a member is silent, or does not sync ───────┘
///                                                              any ── drained ──▶ Dead
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No members, since then.
    Empty { since: Instant },
    /// Members are asked to join again; those that have not by `until` are removed.
    PreparingRebalance { until: Instant, initial: Option<Initial> },
    /// All have joined; the leader is to send the assignment. Who has not asked for it by `until` is removed.
    CompletingRebalance { until: Instant },
    /// Everybody has an assignment. `until`: as above, while somebody has not asked yet.
    Stable { until: Option<Instant> },
    /// Drained; every answer is `COORDINATOR_NOT_AVAILABLE`.
    Dead,
}

/// The first rebalance of an empty group waits for more members as long as more come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Initial {
    /// The wait never goes beyond this.
    pub(super) last: Instant,
    /// Another member came during the present wait.
    pub(super) grew: bool,
}

impl State {
    /// When the state ends by itself.
    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Self::PreparingRebalance { until, .. } | Self::CompletingRebalance { until } => Some(*until),
            Self::Stable { until } => *until,
            Self::Empty { .. } | Self::Dead => None,
        }
    }

    /// Kafka's name of the state.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "Empty",
            Self::PreparingRebalance { .. } => "PreparingRebalance",
            Self::CompletingRebalance { .. } => "CompletingRebalance",
            Self::Stable { .. } => "Stable",
            Self::Dead => "Dead",
        }
    }
}
