//! The coordinator: consumer groups and committed offsets as the APIs see them. The async shell around the state machine `group` and the store
//! `offsets`: it gives the time, wakes groups at their deadlines, waits for the disk, and delivers answers.
//!
//! Invariants
//! 1. One lock over all groups and offsets, never held across an await: whether a commit is allowed and where it comes in the log is one decision.
//! 2. A commit is answered when it is durable, and visible no sooner.
//! 3. Every join and sync that waits is answered: by an event, by a deadline, or by [`Coordinator::drain`].
//! 4. Memory of groups and of offsets is bounded by [`GroupSettings::max_bytes`] each; what would go beyond is refused.
//! 5. Every group that has offsets is there to be listed.
//!
//! What a restart keeps: offsets. Members are not kept; each is told `UNKNOWN_MEMBER_ID` and joins again under a new id, so an old one can't
//! commit any more. Kafka's newer group protocol is absent on purpose: it is not advertised, and clients fall back to this one.

mod groups;
mod members;
mod offsets;
mod settings;
#[cfg(test)]
mod tests;

pub(crate) use members::{Described, DescribedMember};
pub(crate) use offsets::{Commit, Listed};
pub use settings::GroupSettings;

use crate::group::Group;
use crate::offsets::{OffsetsError, Store};
use crate::topics::Topics;
use groups::Groups;
use kafka_protocol::ResponseError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Longest group id, in bytes. Kafka has no bound but the field's.
const MAX_GROUP_ID_BYTES: usize = 1000;

/// Groups and offsets of one broker. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Coordinator(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: GroupSettings,
    topics: Topics,
    state: Mutex<State>,
    /// The timer sleeps too long.
    sooner: Notify,
}

#[derive(Debug)]
struct State {
    groups: Groups,
    store: Store,
    /// When the timer wakes.
    alarm: Option<Instant>,
    drained: bool,
}

/// The coordinator's clock; in tests it stands still when they want.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Coordinator {
    /// Reads the committed offsets. Blocks on the disk.
    ///
    /// # Errors
    /// Their topic can't be created or read.
    pub(crate) fn open(topics: &Topics, settings: GroupSettings) -> Result<Self, OffsetsError> {
        let mut store = Store::open(topics)?;
        let mut groups = Groups::new(&settings);
        for name in store.offsets().groups() {
            groups.create(now(), name);
        }
        let state = Mutex::new(State { groups, store, alarm: None, drained: false });
        Ok(Self(Arc::new(Shared { settings, topics: topics.clone(), state, sooner: Notify::new() })))
    }

    /// Wakes groups at their deadlines, and forgets offsets that nobody uses, until told to stop.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut check = now() + self.0.settings.retention_check;
        loop {
            let alarm = self.set_alarm(check);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(alarm.into()) => {}
                () = self.0.sooner.notified() => {}
            }
            self.state().groups.tick(now());
            if now() >= check {
                self.forget_unused().await;
                check = now() + self.0.settings.retention_check;
            }
        }
    }

    /// Answers all who wait for a rebalance: they shall look for another coordinator, and find this one when it is back.
    pub(crate) fn drain(&self) {
        let mut state = self.state();
        state.drained = true;
        state.groups.drain();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with a group that there is.
    fn with<R>(&self, name: &str, event: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let mut state = self.state();
        let result = state.groups.with(name, event);
        self.hurry(&state);
        result
    }

    fn set_alarm(&self, check: Instant) -> Instant {
        let mut state = self.state();
        let alarm = state.groups.next_due().map_or(check, |due| due.min(check));
        state.alarm = Some(alarm);
        alarm
    }

    /// Wakes the timer if something is due before it wakes.
    fn hurry(&self, state: &State) {
        if let Some(due) = state.groups.next_due()
            && state.alarm.is_none_or(|alarm| due < alarm)
        {
            self.0.sooner.notify_one();
        }
    }
}

/// Is this a name for a group that has members?
fn check_group_id(group: &str) -> Result<(), ResponseError> {
    if group.is_empty() || group.len() > MAX_GROUP_ID_BYTES { Err(ResponseError::InvalidGroupId) } else { Ok(()) }
}
