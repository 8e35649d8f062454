//! Session: the highest offset that a handle has seen, by which `session` reads see its own writes and never go back.

use kluster_protocol::Offset;
use std::sync::atomic::{AtomicU64, Ordering};

/// The highest offset seen, shared by the clones of one handle.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The offset + 1; 0: none yet.
    seen: AtomicU64,
}

impl Session {
    /// The highest offset seen.
    pub(crate) fn seen(&self) -> Option<Offset> {
        self.seen.load(Ordering::SeqCst).checked_sub(1).map(Offset::new)
    }

    /// An offset was seen; a lower one than before changes nothing.
    pub(crate) fn see(&self, offset: Offset) {
        self.seen.fetch_max(offset.next().get(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_only_rises() {
        let session = Session::default();
        assert_eq!(session.seen(), None);
        session.see(Offset::ZERO);
        assert_eq!(session.seen(), Some(Offset::ZERO));
        session.see(Offset::new(7));
        session.see(Offset::new(3));
        assert_eq!(session.seen(), Some(Offset::new(7)));
    }
}
