//! Growth: compares the running digests of two nodes by how much they grew between two shared offsets, for the nodes may have begun to count at
//! different ones. No I/O.
//!
//! Neighbours: the `Witness` keeps one for each other node.

use super::finding::Said;
use crate::effects::EffectsTrail;
use kluster_protocol::{Effects, EffectsMeans, EffectsPoint, EffectsReport, Offset, Shared};

/// By how much this node's running digest is ahead of another's, which stays the same as long as their effects are.
#[derive(Debug, Clone, Default)]
pub(super) struct Growth {
    /// The other's DBMS.
    dbms: String,
    /// From where on each counts: when one begins anew, what was known says nothing any more.
    counting: Option<(EffectsMeans, Option<Offset>, Option<Offset>)>,
    ahead: Option<Effects>,
    /// The shared offset from which on the two are compared, where they began to count at different ones.
    base: Option<Offset>,
}

impl Growth {
    /// The other's DBMS is this.
    pub fn of(self, dbms: &str) -> Self {
        match self.dbms == dbms {
            true => self,
            false => Self { dbms: dbms.to_owned(), ..Self::default() },
        }
    }

    /// Effects of the two mean the same.
    pub fn is_same_kind(&self, ours: &EffectsTrail, theirs: &EffectsReport) -> bool {
        ours.kind().is_some_and(|(dbms, means, _)| dbms == self.dbms && means == theirs.means)
    }

    /// Both go on counting from where they did; false: what was known of them is forgotten.
    pub fn follows(&mut self, ours: &EffectsTrail, theirs: &EffectsReport) -> bool {
        let counting = match ours.kind() {
            Some((dbms, means, since)) if dbms == self.dbms && means == theirs.means => {
                Some((means, since, theirs.since))
            }
            _ => None,
        };
        let goes_on = counting == self.counting;
        if !goes_on {
            self.counting = counting;
            self.base = None;
            // Who began at the same offset has the same sum.
            self.ahead = counting.filter(|(_, ours, theirs)| ours == theirs).map(|_| Effects::NONE);
        }
        goes_on
    }

    /// What the two changed up to here is the same, or is not compared; absent: nothing is known to be so.
    pub fn base(&self) -> Option<Offset> {
        let (_, ours, theirs) = self.counting?;
        self.base.max(ours).max(theirs)
    }

    /// Whether these are the running digests of two that changed the same rows.
    pub fn agree(&self, ours: Effects, theirs: Effects) -> bool {
        self.ahead == Some(ours - theirs)
    }

    /// Where the two agree and where they first differ, and what each has there.
    pub fn shared(&mut self, ours: &EffectsTrail, theirs: &EffectsReport) -> (Shared, Option<(Said, Said)>) {
        let (mut shared, mut said) = (Shared::default(), None);
        let Some((_, since, other_since)) = self.counting else { return (shared, said) };
        for EffectsPoint { offset, running } in
            theirs.digests().filter(|point| Some(point.offset) >= since.max(other_since))
        {
            let Some(own) = ours.at(offset) else { continue };
            match self.ahead {
                None => (self.ahead, self.base) = (Some(own - running), Some(offset)),
                Some(ahead) if own - running == ahead => shared.newest_equal = Some(offset),
                Some(_) if shared.oldest_other.is_none() => {
                    shared.oldest_other = Some(offset);
                    said = Some((Said::Effects(own), Said::Effects(running)));
                }
                Some(_) => {}
            }
        }
        (shared, said)
    }
}
