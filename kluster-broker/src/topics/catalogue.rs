//! The file `topics.json`: which topics there are, the cluster's id, the next producer id. Replaced whole and durably at each change.

use super::OpenError;
use super::directory::any_partition;
use crate::disk::Disk;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use uuid::Uuid;

/// Name of the file in the data directory.
pub(super) const CATALOGUE_FILE: &str = "topics.json";
/// Of the file; a broker that does not know it refuses.
const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Catalogue {
    pub format: u32,
    pub cluster_id: String,
    /// No id at or above it was ever given.
    pub next_producer_id: i64,
    pub topics: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry {
    pub topic_id: Uuid,
    pub partitions: i32,
    pub configs: BTreeMap<String, String>,
}

impl Catalogue {
    /// The catalogue in `dir`, made where there is none and no partitions either.
    pub fn open(dir: &Path, disk: &Disk) -> Result<Self, OpenError> {
        let path = dir.join(CATALOGUE_FILE);
        let io = |source| OpenError::Io { path: path.clone(), source };
        if let Some(catalogue) = Self::load(dir).map_err(io)? {
            return Ok(catalogue);
        }
        if let Some(partition) = any_partition(dir).map_err(io)? {
            return Err(OpenError::NoCatalogue { catalogue: path, partition });
        }
        let catalogue = Self::new();
        catalogue.store(dir, disk).map_err(io)?;
        Ok(catalogue)
    }

    /// The catalogue in `dir`; None where there is none.
    pub fn load(dir: &Path) -> io::Result<Option<Self>> {
        let content = match std::fs::read(dir.join(CATALOGUE_FILE)) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let catalogue: Self = serde_json::from_slice(&content)?;
        if catalogue.format != FORMAT {
            let message = format!("format {} was written by another version of the broker", catalogue.format);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Some(catalogue))
    }

    /// That of a new data directory.
    fn new() -> Self {
        let cluster_id = Uuid::new_v4().simple().to_string();
        Self { format: FORMAT, cluster_id, next_producer_id: 0, topics: BTreeMap::new() }
    }

    /// Writes it durably.
    pub fn store(&self, dir: &Path, disk: &Disk) -> io::Result<()> {
        disk.replace(&dir.join(CATALOGUE_FILE), &serde_json::to_vec_pretty(self)?)
    }
}
