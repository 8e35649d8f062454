//! Detail: the effects of each offset in a range, by which two nodes that differ find the first offset at which they do. No I/O.
//!
//! Neighbours: nodes publish it on NODES under a key of its own ([`EffectsDetail::key`]), marked by the header [`crate::header::KIND`] with the value
//! [`Kind::EFFECTS`].

use super::{Effects, EffectsMeans};
use crate::{Kind, NodeId, Offset};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The effects of each offset in a range, as one node has them: published when its running digest differs from another node's, and in reply to
/// another node's detail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectsDetail {
    /// The node.
    pub node_id: NodeId,
    /// The run of its process: what another run said may be of another database.
    pub instance_id: String,
    /// How the effects are learnt.
    pub means: EffectsMeans,
    /// Effects of later offsets are counted; absent: of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Offset>,
    /// The range begins behind this offset; absent: at the log's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Offset>,
    /// The running digest where the range begins.
    pub running: Effects,
    /// The range ends with this offset.
    pub through: Offset,
    /// Each offset that had effects, and which, in rising order.
    pub each: Vec<(Offset, Effects)>,
}

impl EffectsDetail {
    /// At most this many offsets are published, the oldest of the range: some 200 KB of JSON.
    pub const MOST: usize = 4096;

    /// The key of such a record of `node`: no node's own name, which holds no `/`.
    pub fn key(node: &NodeId) -> String {
        format!("{}/{node}", Kind::EFFECTS)
    }

    /// The running digest at an offset of the range, or where it begins; none: it is not in the range.
    pub fn running_at(&self, offset: Option<Offset>) -> Option<Effects> {
        let is_within = offset >= self.after && offset <= Some(self.through);
        let up_to = self.each.iter().filter(|(at, _)| Some(*at) <= offset);
        is_within.then(|| self.running + up_to.map(|(at, effects)| effects.placed(*at)).sum())
    }

    /// The first offset at which two nodes' effects differ, in the range that both publish; none: they are the same there.
    pub fn first_difference(&self, other: &Self) -> Option<Offset> {
        let after = self.after.max(other.after);
        let through = self.through.min(other.through);
        let published = |one: &Self| -> BTreeMap<Offset, Effects> {
            let within = |(offset, _): &&(Offset, Effects)| Some(*offset) > after && *offset <= through;
            one.each.iter().filter(within).copied().collect()
        };
        let (ours, theirs) = (published(self), published(other));
        ours.keys().chain(theirs.keys()).filter(|offset| ours.get(offset) != theirs.get(offset)).min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named_within_what_both_publish() {
        let at = Offset::new;
        let published = |after: Option<u64>, through, each: &[(u64, u128)]| EffectsDetail {
            node_id: "n1".into(),
            instance_id: "i".into(),
            means: EffectsMeans::Binlog,
            since: None,
            after: after.map(at),
            running: Effects::NONE,
            through: at(through),
            each: each.iter().map(|(offset, effects)| (at(*offset), Effects::from(*effects))).collect(),
        };
        let ours = published(None, 9, &[(1, 1), (3, 3), (5, 5)]);
        let first = |theirs: &EffectsDetail| ours.first_difference(theirs).map(Offset::get);
        assert_eq!(first(&published(None, 9, &[(1, 1), (3, 4), (5, 6)])), Some(3));
        assert_eq!(first(&published(None, 9, &[(1, 1), (5, 5)])), Some(3), "what one lacks differs");
        assert_eq!(first(&published(None, 9, &[(1, 1), (2, 2), (3, 3), (5, 5)])), Some(2));
        assert_eq!(first(&published(Some(3), 9, &[(5, 5)])), None);
        assert_eq!(first(&published(None, 4, &[(1, 1), (3, 3)])), None);
        let (one, running) = (published(Some(3), 9, &[(5, 5), (7, 7)]), |offset: u64| {
            Effects::from(u128::from(offset)).placed(at(offset))
        });
        assert_eq!(one.running_at(Some(at(4))), Some(Effects::NONE));
        assert_eq!(one.running_at(Some(at(7))), Some(running(5) + running(7)));
        assert_eq!((one.running_at(None), one.running_at(Some(at(10)))), (None, None));
        assert_eq!(EffectsDetail::key(&ours.node_id), "effects/n1");
    }
}
