//! Narrow: finds the first offset at which this node's requests changed other rows than another node's, from the detail that both publish. No I/O.
//!
//! Neighbours: `watch` publishes what [`Witness::detail`] gives and tells what others published.
//!
//! Two running digests that differ at a shared offset say only that something before it differs. So whoever finds that publishes the effects of each
//! offset back to the last at which both agreed, and whoever hears of it replies with its own: the names of the first offset come within one exchange.
//!
//! Invariants
//! 1. Only what the present run of another node published is compared, and only while both count as they did.
//! 2. An offset is named only where both details reach back to an offset at which the two agreed, by heartbeats or by the details: so it is the first.
//! 3. A range is published once: no node replies to a reply.

use super::finding::Differing;
use super::{Finding, Other, Witness};
use crate::status::Status;
use kluster_protocol::{EffectsDetail, NodeId, Offset};

impl Witness {
    /// A node published its effects of each offset in a range.
    pub fn hear_detail(&mut self, detail: EffectsDetail) {
        if detail.node_id != self.run.node {
            self.details.insert(detail.node_id.clone(), detail);
        }
    }

    /// What this node has to publish, if it did not do so before: of the range in which it differs from another node, or another one published.
    pub fn detail(&mut self, status: &Status) -> Option<EffectsDetail> {
        let differs = self.others.values().filter_map(|other| Some((other.base(), other.by_effects.differs?.at)));
        let replies = self.others.iter().filter_map(|(name, other)| {
            let detail = self.detail_of(name, other).filter(|_| other.says_effects(status))?;
            Some((detail.after, detail.through))
        });
        let wanted = differs.chain(replies).reduce(|(one, to), (other, further)| (one.min(other), to.max(further)));
        let (after, through) = wanted?;
        let detail = status.effects().detail(&self.run, after, through)?;
        let is_new = self.published.as_ref().is_none_or(|(since, from, to)| {
            // What is no longer remembered from its beginning names no first offset.
            let further = detail.after < *from || detail.through > *to && detail.after == after;
            *since != detail.since || further
        });
        is_new.then(|| {
            self.published = Some((detail.since, detail.after, detail.through));
            detail
        })
    }

    /// The first offset at which this node's requests changed other rows than those of `name`.
    pub(super) fn first(&self, name: &NodeId, status: &Status) -> Option<Offset> {
        let other = self.others.get(name)?;
        let (base, at) = (other.base(), other.by_effects.differs?.at);
        let (theirs, ours) = (self.detail_of(name, other)?, status.effects().detail(&self.run, base, at)?);
        let start = theirs.after.max(ours.after);
        let agreed = start <= base || other.growth.agree(ours.running_at(start)?, theirs.running_at(start)?);
        agreed.then(|| ours.first_difference(theirs))?
    }

    /// A voter that differs may still say by which offset on its effects do: it has not published their detail, or what it said of its effects so far ends
    /// before the difference.
    pub fn awaits_detail(&self, finding: &Finding, status: &Status) -> bool {
        let may = |differing: &Differing| {
            let Some(other) = self.others.get(&differing.node).filter(|other| other.says_effects(status)) else {
                return false;
            };
            match other.by_effects.differs {
                Some(_) => self.detail_of(&differing.node, other).is_none(),
                None => other.by_effects.agreed < Some(differing.difference.at),
            }
        };
        finding.first.is_none() && finding.differing.iter().any(may)
    }

    fn detail_of(&self, name: &NodeId, other: &Other) -> Option<&EffectsDetail> {
        let report = other.effects.as_ref()?;
        self.details.get(name).filter(|detail| {
            let same = (detail.means, detail.since) == (report.means, report.since);
            same && detail.instance_id == other.instance_id
        })
    }
}

impl Other {
    /// Up to here the two changed the same rows, or are not compared.
    fn base(&self) -> Option<Offset> {
        self.by_effects.agreed.max(self.growth.base())
    }
}
