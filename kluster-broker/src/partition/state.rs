//! `partition.json`: what of a partition is not in its log. Replaced whole and durably.

use super::PartitionError;
use crate::disk::Disk;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// What is not in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct State {
    /// No record before it is read, whatever still lies in the segments.
    pub log_start: i64,
    /// Compaction has been through all before it.
    pub compacted_to: i64,
}

fn path(dir: &Path) -> PathBuf {
    dir.join("partition.json")
}

impl State {
    /// That of the partition in `dir`; None if none was written yet.
    pub fn load(dir: &Path) -> Result<Option<Self>, PartitionError> {
        let io = |source| PartitionError::Io { path: path(dir), source };
        match std::fs::read(path(dir)) {
            Ok(content) => Ok(Some(serde_json::from_slice(&content).map_err(|error| io(error.into()))?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(error)),
        }
    }

    /// Writes it durably.
    pub fn store(&self, dir: &Path, disk: &Disk) -> io::Result<()> {
        disk.replace(&path(dir), &serde_json::to_vec(self)?)
    }
}
