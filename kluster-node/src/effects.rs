//! Effects: the digests of the rows that this node's requests changed, as far as they are known: where means that know them in the transaction and means
//! that learn them later from the database's own log meet.
//!
//! Neighbours: the adapters say by which means they learn them ([`crate::dbms::Dbms::effects`]). Those that know them at once give them with their rows
//! ([`crate::rows::Rows::effects`]), and `plan` counts them in the state. The others hand a follower to the node
//! ([`crate::dbms::Dbms::effects_follower`]), which tells the [`EffectsTrail`]; the ALL lane writes what the trail knows with its next batch, so
//! that the follower goes on from there after a restart. `heartbeat` says it, `witness` compares it.
//!
//! Invariant: what is known reaches from an offset on without a gap up to [`EffectsTrail::through`]; whoever has a gap begins anew.

use kluster_protocol::{Effects, EffectsDetail, EffectsMeans, EffectsReport, NodeId, Offset, RunningEffects};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The digests of so many offsets that had effects are remembered, to name the first that differs: some minutes of a busy cluster.
const REMEMBERED: usize = 8192;

/// How a DBMS's effects are learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectsBy {
    /// By this means.
    Means(EffectsMeans),
    /// Not at all: why, and what to do about it.
    Nothing(String),
}

impl EffectsBy {
    /// The means.
    pub fn means(&self) -> EffectsMeans {
        match self {
            Self::Means(means) => *means,
            Self::Nothing(_) => EffectsMeans::None,
        }
    }

    /// Where to go on counting, given what the state row of a database that has applied up to `applied` holds.
    pub fn resume(&self, stored: Option<RunningEffects>, applied: Option<Offset>) -> Option<RunningEffects> {
        let means = self.means();
        let fits = |stored: &RunningEffects| {
            stored.means == means && (stored.at == applied || !means.is_synchronous() && stored.at <= applied)
        };
        means.compares().then(|| stored.filter(fits).unwrap_or_else(|| RunningEffects::begin(means, applied)))
    }
}

/// Follows the database's own log for as long as the node runs, and tells the [`EffectsTrail`] what it finds.
pub type EffectsFollower = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A run of a node's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The node.
    pub node: NodeId,
    /// Differs between runs.
    pub instance_id: String,
}

/// The digests as far as they are known. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct EffectsTrail(Arc<Mutex<Trail>>);

#[derive(Debug, Default)]
struct Trail {
    dbms: &'static str,
    counted: Option<RunningEffects>,
    /// Why nothing is counted.
    why: String,
    /// The means is gone, until the follower begins anew.
    lost: bool,
    /// What is remembered of single offsets reaches back to behind this one: the running digest there.
    floor: Option<(Option<Offset>, Effects)>,
    each: VecDeque<Counted>,
    differs_at: Option<Offset>,
}

/// An offset that had effects.
#[derive(Debug, Clone, Copy)]
struct Counted {
    offset: Offset,
    effects: Effects,
    /// The running digest behind it.
    running: Effects,
}

impl EffectsTrail {
    /// The database holds this: what its means have counted so far. Where the trail knows more already, by a means that learns later, that stays.
    pub fn holds(&self, dbms: &'static str, by: &EffectsBy, counted: Option<&RunningEffects>) {
        let mut trail = self.lock();
        trail.dbms = dbms;
        match (by, counted) {
            (EffectsBy::Nothing(why), _) => trail.ends(why.clone()),
            (EffectsBy::Means(_), None) => trail.ends("effects are not counted yet".to_owned()),
            (EffectsBy::Means(_), Some(counted)) => trail.holds(counted),
        }
    }

    /// The effects of all offsets up to `offset` are known now; those that had any are in `each`, in rising order. What was known before is passed by.
    pub fn through(&self, offset: Offset, each: &[(Offset, Effects)]) {
        self.lock().through(offset, each);
    }

    /// How far the effects are known; none: from the log's first offset on they are not.
    pub fn known_through(&self) -> Option<Offset> {
        self.lock().counted.as_ref()?.at
    }

    /// There is a gap: effects are counted anew, those of the offsets behind `since`.
    pub fn restart(&self, means: EffectsMeans, since: Option<Offset>) {
        self.lock().begins(RunningEffects::begin(means, since));
    }

    /// The means is gone: effects are not compared any more. Says why, and what to do about it.
    pub fn lost(&self, why: impl Into<String>) {
        let mut trail = self.lock();
        trail.ends(why.into());
        trail.lost = true;
    }

    /// What is counted so far, to be written with the state.
    pub fn counted(&self) -> Option<RunningEffects> {
        self.lock().counted.clone()
    }

    /// The running digest behind `offset`, where it is known still.
    pub fn at(&self, offset: Offset) -> Option<Effects> {
        self.lock().at(offset)
    }

    /// This node stopped because its effects at this offset are not those of the others.
    pub fn differ_at(&self, offset: Offset) {
        self.lock().differs_at = Some(offset);
    }

    /// What a heartbeat says; none: before the database was opened.
    pub fn report(&self) -> Option<EffectsReport> {
        let trail = self.lock();
        let report = match &trail.counted {
            Some(counted) => EffectsReport::of(counted),
            None if trail.why.is_empty() => return None,
            None => EffectsReport::none(trail.why.clone()),
        };
        Some(EffectsReport { differs_at: trail.differs_at, ..report })
    }

    /// The DBMS, and how and from where on its effects are counted: two nodes at which all of it is the same share their running digest.
    pub fn kind(&self) -> Option<(&'static str, EffectsMeans, Option<Offset>)> {
        let trail = self.lock();
        trail.counted.as_ref().map(|counted| (trail.dbms, counted.means, counted.since))
    }

    /// The effects of each offset behind `after` up to `through`, as far as they are remembered, as this run of `node` publishes them.
    pub fn detail(&self, by: &Run, after: Option<Offset>, through: Offset) -> Option<EffectsDetail> {
        self.lock().detail(by, after, through)
    }

    fn lock(&self) -> MutexGuard<'_, Trail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trail {
    fn begins(&mut self, counted: RunningEffects) {
        self.floor = Some((counted.at, counted.running));
        self.each.clear();
        self.counted = Some(counted);
        self.lost = false;
    }

    fn ends(&mut self, why: String) {
        *self = Self { dbms: self.dbms, why, ..Self::default() };
    }

    fn holds(&mut self, stored: &RunningEffects) {
        let goes_on = self.counted.as_ref().is_some_and(|counted| {
            let same = counted.means == stored.means && counted.since == stored.since;
            same && (counted == stored || !stored.means.is_synchronous() && counted.at >= stored.at)
        });
        if !goes_on && !self.lost {
            self.begins(stored.clone());
        }
    }

    fn through(&mut self, offset: Offset, each: &[(Offset, Effects)]) {
        let Some(counted) = &mut self.counted else { return };
        for (at, effects) in each.iter().filter(|(at, _)| *at <= offset) {
            if counted.at.is_some_and(|before| *at <= before) {
                continue;
            }
            counted.advance(*at, *effects);
            self.each.push_back(Counted { offset: *at, effects: *effects, running: counted.running });
        }
        counted.advance(offset, Effects::NONE);
        while self.each.len() > REMEMBERED {
            self.floor = self.each.pop_front().map(|oldest| (Some(oldest.offset), oldest.running));
        }
    }

    fn at(&self, offset: Offset) -> Option<Effects> {
        let counted = self.counted.as_ref()?;
        let (floor, at_floor) = self.floor?;
        if Some(offset) > counted.at {
            return None;
        }
        if Some(offset) >= floor {
            let place = self.each.partition_point(|counted| counted.offset <= offset);
            return Some(place.checked_sub(1).map_or(at_floor, |place| self.each[place].running));
        }
        counted.points.iter().find(|point| point.offset == offset).map(|point| point.running)
    }

    fn detail(&self, by: &Run, after: Option<Offset>, through: Offset) -> Option<EffectsDetail> {
        let ((floor, _), counted) = (self.floor?, self.counted.as_ref()?);
        let (after, known) = (after.max(floor), counted.at?);
        let within = self.each.iter().filter(|counted| Some(counted.offset) > after && counted.offset <= through);
        let each: Vec<_> = within.take(EffectsDetail::MOST).map(|counted| (counted.offset, counted.effects)).collect();
        let through = match each.len() == EffectsDetail::MOST {
            true => each[EffectsDetail::MOST - 1].0,
            false => through.min(known),
        };
        Some(EffectsDetail {
            node_id: by.node.clone(),
            instance_id: by.instance_id.clone(),
            means: counted.means,
            since: counted.since,
            after,
            running: after.map_or(Some(Effects::NONE), |after| self.at(after))?,
            through,
            each,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Offset {
        Offset::new(offset)
    }

    fn effects(n: u64) -> Effects {
        Effects::from(u128::from(n) << 64 | 1)
    }

    fn trail(means: EffectsMeans) -> EffectsTrail {
        let trail = EffectsTrail::default();
        let by = EffectsBy::Means(means);
        trail.holds("SQLite", &by, by.resume(None, None).as_ref());
        trail
    }

    #[test]
    fn what_is_told_in_pieces_is_what_is_told_at_once() {
        let all: Vec<_> = (0..2000).step_by(3).map(|n| (at(n), effects(n))).collect();
        let (whole, pieces) = (trail(EffectsMeans::Decoded), trail(EffectsMeans::Decoded));
        whole.through(at(1999), &all);
        for end in [0, 7, 255, 256, 700, 1999] {
            pieces.through(at(end), &all);
        }
        assert_eq!(whole.counted(), pieces.counted());
        assert!((0..2000).all(|n| whole.at(at(n)) == pieces.at(at(n)) && whole.at(at(n)).is_some()));
        assert_eq!(whole.at(at(2000)), None);
        let counted = whole.counted().unwrap();
        assert!(counted.points.iter().all(|point| whole.at(point.offset) == Some(point.running)));
        assert_eq!(counted.points[0].offset, at(1792));
    }

    #[test]
    fn beyond_memory_the_shared_points_are_known_still() {
        let trail = trail(EffectsMeans::Decoded);
        let last = 4 * REMEMBERED as u64;
        let all: Vec<_> = (0..=last).map(|n| (at(n), effects(n))).collect();
        let early = {
            trail.through(at(16384), &all);
            trail.at(at(16384))
        };
        trail.through(at(last), &all);
        assert_eq!((trail.at(at(16384)), trail.at(at(16383))), (early, None));
        let run = Run { node: "n1".into(), instance_id: "i".into() };
        let detail = trail.detail(&run, None, at(last)).unwrap();
        assert_eq!((detail.after, detail.each.len()), (Some(at(last - REMEMBERED as u64)), EffectsDetail::MOST));
        assert_eq!(detail.through, at(last - REMEMBERED as u64 + EffectsDetail::MOST as u64));
    }

    #[test]
    fn a_follower_goes_on_where_the_state_row_ends_and_a_gap_begins_anew() {
        let (by, one) = (EffectsBy::Means(EffectsMeans::Binlog), trail(EffectsMeans::Binlog));
        one.through(at(10), &[(at(3), effects(3))]);
        let again = by.resume(one.counted(), Some(at(12)));
        assert_eq!(again, one.counted());
        let two = EffectsTrail::default();
        two.holds("MariaDB", &by, again.as_ref());
        two.through(at(12), &[(at(3), effects(3)), (at(11), effects(11))]);
        one.through(at(12), &[(at(11), effects(11))]);
        assert_eq!(two.counted(), one.counted());
        // The state row of a batch that came before is no news.
        two.holds("MariaDB", &by, again.as_ref());
        assert_eq!(two.known_through(), Some(at(12)));
        two.restart(EffectsMeans::Binlog, Some(at(20)));
        assert_eq!((two.known_through(), two.at(at(12))), (Some(at(20)), None));
        two.lost("the binary log is off");
        two.holds("MariaDB", &by, again.as_ref());
        assert_eq!(two.report().unwrap().means, EffectsMeans::None);
    }

    #[test]
    fn other_means_and_a_state_row_without_effects_begin_anew() {
        let by = EffectsBy::Means(EffectsMeans::Transaction);
        let stored = Some(RunningEffects::begin(EffectsMeans::Wrapped, None));
        for stored in [stored, None] {
            let counted = by.resume(stored, Some(at(7))).unwrap();
            assert_eq!((counted.since, counted.at), (Some(at(7)), Some(at(7))));
        }
        assert_eq!(EffectsBy::Nothing("off".into()).resume(None, None), None);
    }
}
