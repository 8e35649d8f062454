//! Names that no other test has, on a server that many share.

use std::sync::atomic::{AtomicU32, Ordering};

static COUNTED: AtomicU32 = AtomicU32::new(0);

/// `prefix_<process>_<number>`: unique among the tests of this machine.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}_{}_{}", std::process::id(), COUNTED.fetch_add(1, Ordering::Relaxed))
}
