//! Faults of the disk, on command: what `disk` consults before and after it touches a file. None by default.
//!
//! In a process of its own they are given as text ([`DiskFaults`] is `FromStr`), parts separated by commas:
//!
//! | part | what happens |
//! | --- | --- |
//! | `crash-before-sync=N` | the process aborts before its Nth fdatasync |
//! | `crash-after-sync=N` | the process aborts after its Nth fdatasync, before anyone hears of it |
//! | `fail-sync=N` | the Nth fdatasync fails with EIO |
//! | `full-after=BYTES` | the disk is full when so much has been written |
//! | `full-while=PATH` | the disk is full while that file exists |
//! | `fail-change=N` | the Nth change of a file or directory fails, the others succeed |
//! | `dead-after=N` | the first N changes of files or directories succeed, all later ones fail: what is on disk stays as it is |
//! | `power-loss-record` | what is durable is noted beside each file, for [`cut_to_synced`] |

mod power_loss;

pub(crate) use power_loss::{Unsettled, created, opened, removed, renamed, synced};
pub use power_loss::{cut_to_synced, tear_behind_synced};

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// A moment of an fdatasync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPoint {
    /// The bytes are written, none need be on the disk.
    Before,
    /// They are on the disk, nobody has heard of it.
    After,
}

/// Called at every fdatasync, on the thread that does it: it may block, fail in its place, or end the process.
pub type SyncHook = dyn Fn(SyncPoint, &Path) -> io::Result<()> + Send + Sync;

/// What the disk shall do wrong. Shared by all files of one data directory.
#[derive(Default)]
pub struct DiskFaults {
    hook: Option<Box<SyncHook>>,
    crash_before_sync: Countdown,
    crash_after_sync: Countdown,
    fail_sync: Countdown,
    fail_change: Countdown,
    full_after: Space,
    full_while: Option<PathBuf>,
    dead_after: Space,
    power_loss_record: bool,
}

impl DiskFaults {
    /// Calls this at every fdatasync.
    #[must_use]
    pub fn with_sync_hook(self, hook: impl Fn(SyncPoint, &Path) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { hook: Some(Box::new(hook)), ..self }
    }

    /// Notes beside each file what is durable, for [`cut_to_synced`].
    #[must_use]
    pub fn with_power_loss_record(self) -> Self {
        Self { power_loss_record: true, ..self }
    }

    /// The disk is full when so many more bytes have been written; None: never.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.full_after.0.store(bytes.unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// The disk takes so many more changes and then none; None: all. A test stops a deed at any moment so.
    pub fn set_changes(&self, changes: Option<u64>) {
        self.dead_after.0.store(changes.unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// The Nth change from now on fails, the others succeed.
    pub fn fail_change(&self, nth: u64) {
        self.fail_change.0.store(nth, Ordering::SeqCst);
    }

    /// Whether the change that shall fail has not come yet.
    pub fn fails_later(&self) -> bool {
        self.fail_change.0.load(Ordering::SeqCst) > 0
    }

    /// How many more changes the disk takes.
    pub fn changes_left(&self) -> u64 {
        self.dead_after.0.load(Ordering::SeqCst)
    }

    /// Before any change of a file or directory.
    pub(crate) fn at_change(&self) -> io::Result<()> {
        if self.fail_change.hit() {
            return Err(io::Error::other("a change fails by order of a test"));
        }
        if self.dead_after.take(1) == 1 { Ok(()) } else { Err(io::Error::other("the disk is dead by order of a test")) }
    }

    pub(crate) fn at_sync(&self, point: SyncPoint, path: &Path) -> io::Result<()> {
        let crash = match point {
            SyncPoint::Before => &self.crash_before_sync,
            SyncPoint::After => &self.crash_after_sync,
        };
        if crash.hit() {
            std::process::abort();
        }
        if point == SyncPoint::Before && self.fail_sync.hit() {
            return Err(io::Error::other("fdatasync fails by order of a test"));
        }
        self.hook.as_ref().map_or(Ok(()), |hook| hook(point, path))
    }

    /// How many of these bytes the disk has room for.
    pub(crate) fn room_for(&self, bytes: usize) -> usize {
        if self.full_while.as_ref().is_some_and(|path| path.exists()) { 0 } else { self.full_after.take(bytes) }
    }

    pub(crate) fn power_loss_record(&self) -> bool {
        self.power_loss_record
    }
}

impl fmt::Debug for DiskFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskFaults").field("power_loss_record", &self.power_loss_record).finish_non_exhaustive()
    }
}

/// Why the text is no list of faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no fault of the disk; there are crash-before-sync=N, crash-after-sync=N, fail-sync=N, fail-change=N, full-after=BYTES, \
     full-while=PATH, dead-after=N, power-loss-record"
)]
pub struct UnknownFault(String);

impl FromStr for DiskFaults {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let mut faults = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let unknown = || UnknownFault(part.to_owned());
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let number = || value.parse::<u64>().map_err(|_| unknown());
            match name {
                "crash-before-sync" => faults.crash_before_sync = Countdown(number()?.into()),
                "crash-after-sync" => faults.crash_after_sync = Countdown(number()?.into()),
                "fail-sync" => faults.fail_sync = Countdown(number()?.into()),
                "fail-change" => faults.fail_change = Countdown(number()?.into()),
                "full-after" => faults.full_after = Space(number()?.into()),
                "dead-after" => faults.dead_after = Space(number()?.into()),
                "full-while" if !value.is_empty() => faults.full_while = Some(value.into()),
                "power-loss-record" if value.is_empty() => faults.power_loss_record = true,
                _ => return Err(unknown()),
            }
        }
        Ok(faults)
    }
}

/// Hits once, at the Nth time; 0: never.
#[derive(Default)]
struct Countdown(AtomicU64);

impl Countdown {
    fn hit(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) == Ok(1)
    }
}

/// What may still be used up: bytes, changes.
struct Space(AtomicU64);

impl Default for Space {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Space {
    fn take(&self, bytes: usize) -> usize {
        let wanted = bytes as u64;
        let less = |left: u64| (left != u64::MAX).then(|| left.saturating_sub(wanted));
        match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(left) => usize::try_from(left.min(wanted)).unwrap_or(bytes),
            Err(_) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DiskFaults;

    #[test]
    fn a_fault_is_read_from_text_and_an_unknown_one_refused() {
        let faults: DiskFaults = "full-after=10, power-loss-record".parse().unwrap();
        assert!(faults.power_loss_record());
        assert_eq!((faults.room_for(7), faults.room_for(7), faults.room_for(7)), (7, 3, 0));
        faults.set_space(None);
        assert_eq!(faults.room_for(7), 7);
        let faults: DiskFaults = "dead-after=1".parse().unwrap();
        assert!(faults.at_change().is_ok() && faults.at_change().is_err() && faults.at_change().is_err());
        for wrong in ["full-after", "full-after=x", "full-while=", "power-loss-record=1", "fire"] {
            assert!(wrong.parse::<DiskFaults>().is_err(), "{wrong}");
        }
    }
}
