//! Offsets: commit, look up, forget; and which groups there are.

use super::{Coordinator, MAX_GROUP_ID_BYTES, State, now};
use crate::broker::now_ms;
use crate::group::{CONSUMER, Group, Identity};
use crate::offsets::{Change, Committed, Offsets, Place};
use crate::partition::{AppendError, Partition};
use kafka_protocol::ResponseError;
use std::time::Duration;

/// One offset that somebody wants to commit.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

/// A group as ListGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) group: String,
    pub(crate) protocol_type: String,
    pub(crate) state: &'static str,
}

/// What came of each of several things, in their order; or of all of them.
pub(crate) type Each = Result<Vec<Result<(), ResponseError>>, ResponseError>;

impl Coordinator {
    /// Commits offsets, if the group allows it. They are durable when this returns.
    ///
    /// # Errors
    /// None was committed.
    pub(crate) async fn commit(&self, group: &str, who: &Identity, generation: i32, commits: Vec<Commit>) -> Each {
        let (results, written) = {
            let mut state = self.state();
            self.check_commit(&mut state, group, who, generation)?;
            let offsets = state.store.offsets();
            let results: Vec<_> = commits.iter().map(|commit| self.check_one(group, commit, offsets)).collect();
            let accepted = commits.into_iter().zip(&results).filter(|(_, result)| result.is_ok());
            let changes: Vec<Change> = accepted.map(|(commit, _)| commit.change(group, now_ms())).collect();
            let written = if changes.is_empty() { None } else { Some(write(&mut state, changes)?) };
            if written.is_some() {
                state.groups.create(now(), group);
            }
            (results, written)
        };
        self.durable(written).await?;
        Ok(results)
    }

    /// A group that is not there may be made by whoever commits without being a member.
    fn check_commit(
        &self,
        state: &mut State,
        group: &str,
        who: &Identity,
        generation: i32,
    ) -> Result<(), ResponseError> {
        if group.len() > MAX_GROUP_ID_BYTES {
            return Err(ResponseError::InvalidGroupId);
        }
        if state.drained {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let check = |group: &mut Group| group.check_commit(now(), who, generation);
        match state.groups.with(group, check) {
            Some(checked) => checked,
            None if generation >= 0 => Err(ResponseError::IllegalGeneration),
            None => state.groups.check_one_more(),
        }
    }

    fn check_one(&self, group: &str, commit: &Commit, offsets: &Offsets) -> Result<(), ResponseError> {
        if commit.metadata.len() > self.0.settings.max_commit_metadata_bytes {
            return Err(ResponseError::OffsetMetadataTooLarge);
        }
        if self.0.topics.partition(&commit.topic, commit.partition).is_none() {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        let room = self.0.settings.max_bytes.saturating_sub(offsets.bytes());
        let grows = match offsets.get(group, &commit.topic, commit.partition) {
            Some(there) => commit.metadata.len().saturating_sub(there.metadata.len()),
            None => group.len() + commit.topic.len() + commit.metadata.len(),
        };
        if grows > room {
            tracing::warn!(group, "a commit is refused: committed offsets take all the memory they may");
            return Err(ResponseError::PolicyViolation);
        }
        Ok(())
    }

    /// Looks committed offsets up; what is not there was never committed, or is forgotten.
    pub(crate) fn committed<R>(&self, look: impl FnOnce(&Offsets) -> R) -> R {
        look(self.state().store.offsets())
    }

    /// Bytes of the list of all groups, with so many for each beside its names.
    pub(crate) fn list_bytes(&self, each: usize) -> usize {
        let state = self.state();
        let names = |(name, group): (&String, &Group)| name.len() + group.protocol_type().map_or(0, str::len);
        state.groups.iter().map(|group| 3 * names(group) + each).sum() // as found, as told, as encoded
    }

    /// All groups.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let state = self.state();
        let listed = state.groups.iter().map(|(name, group)| Listed {
            group: name.clone(),
            protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
            state: group.state(),
        });
        let mut listed: Vec<Listed> = listed.collect();
        listed.sort_by(|a, b| a.group.cmp(&b.group));
        listed
    }

    /// Deletes empty groups with their offsets.
    pub(crate) async fn delete_groups(&self, groups: &[String]) -> Vec<Result<(), ResponseError>> {
        let (mut results, written) = {
            let mut state = self.state();
            let results: Vec<_> = groups.iter().map(|group| check_deletable(state.groups.get(group))).collect();
            let deletable = groups.iter().zip(&results).filter(|(_, result)| result.is_ok()).map(|(group, _)| group);
            let changes = state.store.forgetting(|place| deletable.clone().any(|group| *group == place.group));
            let written = if changes.is_empty() { Ok(None) } else { write(&mut state, changes).map(Some) };
            if written.is_ok() {
                deletable.for_each(|group| state.groups.remove(group));
            }
            (results, written)
        };
        let durable = match written {
            Ok(written) => self.durable(written).await,
            Err(error) => Err(error),
        };
        if let Err(error) = durable {
            results.iter_mut().filter(|result| result.is_ok()).for_each(|result| *result = Err(error));
        }
        results
    }

    /// Forgets some offsets of a group, unless its members read those topics.
    ///
    /// # Errors
    /// There is no such group, or it has members of whom it can't be known what they read; then none is forgotten.
    pub(crate) async fn delete_offsets(&self, group: &str, places: &[(String, i32)]) -> Each {
        let (results, written) = {
            let mut state = self.state();
            let found = state.groups.get(group).ok_or(ResponseError::GroupIdNotFound)?;
            if !found.is_empty() && found.protocol_type() != Some(CONSUMER) {
                return Err(ResponseError::NonEmptyGroup);
            }
            let check = |(topic, partition): &(String, i32)| {
                if self.0.topics.partition(topic, *partition).is_none() {
                    return Err(ResponseError::UnknownTopicOrPartition);
                }
                if found.is_subscribed(topic) { Err(ResponseError::GroupSubscribedToTopic) } else { Ok(()) }
            };
            let results: Vec<_> = places.iter().map(check).collect();
            let chosen = places.iter().zip(&results).filter(|(_, result)| result.is_ok()).map(|(place, _)| place);
            let changes = state.store.forgetting(|Place { group: of, topic, partition }| {
                of == group && chosen.clone().any(|(chosen, index)| chosen == topic && index == partition)
            });
            let written = if changes.is_empty() { None } else { Some(write(&mut state, changes)?) };
            (results, written)
        };
        self.durable(written).await?;
        Ok(results)
    }

    /// A topic was deleted: a later one of the same name begins without offsets.
    ///
    /// # Errors
    /// The disk failed; the offsets may come back with the next start.
    pub(crate) async fn forget_topic(&self, topic: &str) -> Result<(), ResponseError> {
        let written = {
            let mut state = self.state();
            let changes = state.store.forgetting(|place| place.topic == topic);
            if changes.is_empty() { None } else { Some(write(&mut state, changes)?) }
        };
        self.durable(written).await
    }

    /// Forgets what nobody has used for the retention time, and groups of which nothing is left.
    pub(super) async fn forget_unused(&self) {
        let written = {
            let mut state = self.state();
            let changes = unused(&mut state, self.0.settings.offsets_retention);
            let written = if changes.is_empty() { Ok(None) } else { write(&mut state, changes).map(Some) };
            remove_bare_groups(&mut state, self.0.settings.retention_check);
            written
        };
        if let Ok(written) = written {
            let _ = self.durable(written).await; // said there; the next check tries again
        }
    }

    /// Until what was written is durable. A failure is for the client to try again: it may be durable or not.
    async fn durable(&self, written: Option<(Partition, i64)>) -> Result<(), ResponseError> {
        let Some((partition, next)) = written else { return Ok(()) };
        partition.durable(next).await.map_err(|error| refusal(&error))
    }
}

impl Commit {
    fn change(self, group: &str, at_ms: i64) -> Change {
        let Self { topic, partition, offset, leader_epoch, metadata } = self;
        let place = Place { group: group.to_owned(), topic, partition };
        (place, Some(Committed { offset, leader_epoch, metadata, at_ms }))
    }
}

fn write(state: &mut State, changes: Vec<Change>) -> Result<(Partition, i64), ResponseError> {
    let next = state.store.write(changes, now_ms()).map_err(|error| refusal(&error))?;
    Ok((state.store.partition().clone(), next))
}

/// Clients look for the coordinator and try again, except where that can't help.
fn refusal(error: &AppendError) -> ResponseError {
    tracing::warn!(%error, "offsets could not be written");
    match error {
        AppendError::TooLarge { .. } => ResponseError::InvalidCommitOffsetSize,
        _ => ResponseError::CoordinatorNotAvailable,
    }
}

fn check_deletable(group: Option<&Group>) -> Result<(), ResponseError> {
    match group {
        None => Err(ResponseError::GroupIdNotFound),
        Some(group) if !group.is_empty() => Err(ResponseError::NonEmptyGroup),
        Some(_) => Ok(()),
    }
}

/// Offsets of groups that have been idle for `retention`, and of topics that a stable group does not read, if they are that old themselves.
fn unused(state: &mut State, retention: Duration) -> Vec<Change> {
    let State { groups, store, .. } = state;
    let offsets = store.offsets();
    let before_ms = now_ms().saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
    let mut changes = Vec::new();
    for (name, group) in groups.iter().filter(|(name, _)| offsets.of_group(name).is_some()) {
        if group.idle_since().is_some_and(|since| now() >= since + retention) {
            changes.extend(offsets.forgetting(name, before_ms, |_| true));
        } else if group.settled_protocol().is_some()
            && let Some(subscribed) = group.subscribed()
        {
            changes.extend(offsets.forgetting(name, before_ms, |topic| !subscribed.contains(topic)));
        }
    }
    changes.retain(|(place, _)| !store.is_under_way(place)); // it has just been used
    changes
}

fn remove_bare_groups(state: &mut State, idle: Duration) {
    let State { groups, store, .. } = state;
    let offsets = store.offsets();
    let bare = |(name, group): (&String, &Group)| {
        let unused = offsets.of_group(name).is_none() && group.idle_since().is_some_and(|since| now() >= since + idle);
        unused.then(|| name.clone())
    };
    let bare: Vec<String> = groups.iter().filter_map(bare).collect();
    bare.iter().for_each(|name| groups.remove(name));
}
