//! Open files: how many the system allows this process, and how they are shared out. Connections and partitions have bounds of their own; where
//! the system allows too few files for both, the bounds are lower, so that neither is met by an error in the middle of something.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::partition::MOST_FILES;

/// Files of everything else in the process: the catalogue, compaction, and where the broker is embedded, nodes and clients.
const OTHERS: usize = 256;

/// What strangers may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) connections: usize,
    pub(crate) partitions: usize,
}

impl Bounds {
    /// Files for all of it.
    fn files(self) -> usize {
        self.partitions.saturating_mul(MOST_FILES).saturating_add(self.connections).saturating_add(OTHERS)
    }

    /// As much of these as a process of so many files can serve. Connections come first, up to half of what there is.
    fn within(self, files: usize) -> Self {
        if self.files() <= files {
            return self;
        }
        let left = files - OTHERS.min(files / 4);
        let connections = self.connections.min(left / 2);
        Self { connections, partitions: self.partitions.min((left - connections) / MOST_FILES) }
    }
}

/// Raises the process's limit of open files as far as it may, and gives what of these bounds it can serve; says so where that is less.
pub(crate) fn bounds(wanted: Bounds) -> Bounds {
    let files = raise(wanted.files());
    let bounds = wanted.within(files);
    if bounds != wanted {
        let Bounds { connections, partitions } = bounds;
        warn!(
            files,
            connections,
            partitions,
            "the system allows this process few open files, so fewer connections and partitions are served than the settings say; raise the limit (ulimit -n, LimitNOFILE) to {}",
            wanted.files()
        );
    }
    bounds
}

/// Raises the soft limit to the hard one, or to what is wanted where there is none; gives the limit in force.
fn raise(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(now) = current else { return usize::MAX };
    let may = maximum.unwrap_or(wanted as u64).max(now);
    let raised = may > now && setrlimit(Resource::Nofile, Rlimit { current: Some(may), maximum }).is_ok();
    usize::try_from(if raised { may } else { now }).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_at_the_bounds_fits_the_limit() {
        let wanted = Bounds { connections: 1_000, partitions: 4_000 };
        assert_eq!(wanted.within(wanted.files()), wanted);
        assert_eq!(wanted.within(4_096), Bounds { connections: 1_000, partitions: 568 });
        for files in [0, 1, 64, 256, 1_024, 4_096, 20_000] {
            let Bounds { connections, partitions } = wanted.within(files);
            assert!(connections + partitions * MOST_FILES <= files, "{files}");
            assert!(files < 64 || connections >= 16 && partitions >= 4, "{files}");
        }
    }

    #[test]
    fn the_limit_is_never_lowered() {
        let before = getrlimit(Resource::Nofile);
        let files = raise(1);
        let after = getrlimit(Resource::Nofile);
        assert!(after.current.is_none_or(|after| before.current.is_some_and(|before| after >= before)));
        assert!(after.current.is_none_or(|after| after == files as u64));
    }
}
