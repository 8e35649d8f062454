//! Faults of the disk, on command: what `disk` consults before it touches a file. None by default.

/// What the disk shall do wrong. Shared by all files of one data directory.
#[derive(Debug, Default)]
pub struct DiskFaults {}
