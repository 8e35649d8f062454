//! Former: what this node may have applied in a database that it no longer has. No I/O.
//!
//! A node whose database was lost, or put back to an earlier state, refills from the log and remembers nothing of what it answered before. Others may
//! remember nothing either, for they were started again. A request that it may have applied and answered must not be cancelled, so its
//! heartbeats name the highest one until it has applied that again.
//!
//! Neighbours: `witness::watch` reads the node's own last heartbeat before the node says anything; `council` asks.

use kluster_protocol::{Heartbeat, Offset};

/// The highest offset that this node may have applied beyond `applied`, which its database holds. `said`: its last heartbeat before this start, if there is
/// one. `end`: where ALL ended after that.
pub fn may_have_applied(said: Option<&Heartbeat>, applied: Option<Offset>, end: Offset) -> Option<Offset> {
    let said = said?;
    // A database that holds nothing is not known to be the one of before.
    match applied.is_none() || applied < said.applied {
        true => anything(applied, end),
        false => said.may_have_applied.filter(|newest| applied < Some(*newest)),
    }
}

/// The same where nothing is known of before.
pub fn anything(applied: Option<Offset>, end: Offset) -> Option<Offset> {
    (end > Offset::ZERO).then(|| end.back(1)).filter(|newest| applied < Some(*newest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::council::tests::beat;

    fn at(offset: u64) -> Option<Offset> {
        Some(Offset::new(offset))
    }

    #[test]
    fn a_database_that_is_not_the_one_of_before_may_have_been_anywhere() {
        let end = Offset::new(20);
        let said = Heartbeat { may_have_applied: at(15), ..beat("n1", 9) };
        for (said, applied, expected) in [
            (None, None, None),
            (Some(&said), None, at(19)),
            (Some(&said), at(8), at(19)),
            (Some(&said), at(9), at(15)),
            (Some(&said), at(15), None),
            (Some(&beat("n1", 9)), at(9), None),
            (Some(&beat("n1", 9)), at(12), None),
        ] {
            assert_eq!(may_have_applied(said, applied, end), expected, "{applied:?}");
        }
        assert_eq!(may_have_applied(Some(&said), None, Offset::ZERO), None);
    }
}
