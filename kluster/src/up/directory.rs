//! directory: what lies in the data directory, and whether it can be used.
//!
//! `log/` is the broker's; `databases/NAME/` holds the nodes of the database NAME: `cluster.json`, which says who they are, and `n1.db`, … where
//! they are SQLite files. Who may work there is decided by the lock that the broker takes in `log/`.
//!
//! Invariant: a description is replaced as a whole (written beside, synced, renamed), so that a crash leaves the old one or the new one.

use crate::error::KlusterError;
use kluster_protocol::{DatabaseName, NodeId};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Less free space than this is no place to begin: the first segments and files of a cluster with three nodes take about 1 MiB.
const NEEDED_BYTES: usize = 4 << 20;
const DESCRIPTION: &str = "cluster.json";
const PROBE: &str = ".kluster-probe";

/// The data directory.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Creates what is missing, and tries whether it can be written.
    pub(crate) fn open(root: &Path) -> Result<Self, KlusterError> {
        let failed = |error: io::Error| cannot_use(root, &error);
        fs::create_dir_all(root).map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        probe(&root).map_err(|error| cannot_begin(&root, &error))?;
        fs::create_dir_all(root.join("log")).map_err(failed)?;
        Ok(Self { root })
    }

    /// Where the log lies.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Where the nodes of a database are described. To be read only by who holds the log's lock.
    pub(crate) fn of_database(&self, database: &DatabaseName) -> Result<Home, KlusterError> {
        let path = self.root.join("databases").join(database.as_str());
        fs::create_dir_all(&path).map_err(|error| cannot_use(&path, &error))?;
        Home::read(path)
    }
}

/// Writes as much as a beginning needs, and takes it away again.
fn probe(root: &Path) -> io::Result<()> {
    let path = root.join(PROBE);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; NEEDED_BYTES])?;
        file.sync_data()
    });
    // What cannot be removed could not be written either.
    let _ = fs::remove_file(&path);
    written
}

/// Why a cluster cannot begin here.
fn cannot_begin(root: &Path, error: &io::Error) -> KlusterError {
    match is_full(error) {
        true => KlusterError::DiskFull(format!(
            "the disk is full: {} has no {} MiB left ({error}); make room, or choose another directory with --dir",
            root.display(),
            NEEDED_BYTES >> 20
        )),
        false => cannot_use(root, error),
    }
}

/// What an error of the file system means for whoever wants to work there.
pub(crate) fn cannot_use(path: &Path, error: &io::Error) -> KlusterError {
    let path = path.display();
    match is_full(error) {
        true => KlusterError::DiskFull(format!("the disk is full: {path}: {error}; make room and start again")),
        false => KlusterError::Directory(format!(
            "the directory {path} cannot be used: {error}; give this user the right to write there, or choose another with --dir"
        )),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Whether what lies behind this error is that the disk is full.
pub(crate) fn comes_of_a_full_disk(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.filter_map(|error| error.downcast_ref::<io::Error>()).any(is_full)
}

/// The nodes of one database, as described at the last start.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    path: PathBuf,
    described: Description,
}

/// What `cluster.json` holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Description {
    nodes: Vec<Described>,
}

/// A node as described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Described {
    /// Its name.
    pub(crate) id: NodeId,
    /// The DBMS beside it.
    pub(crate) dbms: String,
    /// Its database, for people: an address without its password.
    pub(crate) at: String,
    /// It is a file that this directory made for it.
    pub(crate) own_file: bool,
}

impl Home {
    fn read(path: PathBuf) -> Result<Self, KlusterError> {
        let file = path.join(DESCRIPTION);
        let described = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                KlusterError::Directory(format!(
                    "{} cannot be read: {error}; it names the nodes of this directory: mend it, or take it away and name them again by --nodes or --node",
                    file.display()
                ))
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Description::default(),
            Err(error) => return Err(cannot_use(&file, &error)),
        };
        Ok(Self { path, described })
    }

    /// The nodes of the last start.
    pub(crate) fn nodes(&self) -> &[Described] {
        &self.described.nodes
    }

    /// The SQLite file of a node.
    pub(crate) fn file(&self, node: &NodeId) -> PathBuf {
        self.path.join(format!("{node}.db"))
    }

    /// This node is one of the cluster's from now on.
    pub(crate) fn remember(&mut self, node: &Described) -> Result<(), KlusterError> {
        match self.described.nodes.iter_mut().find(|known| known.id == node.id) {
            Some(known) if known == node => return Ok(()),
            Some(known) => known.clone_from(node),
            None => self.described.nodes.push(node.clone()),
        }
        self.described.nodes.sort_by_key(|node| (node.id.as_str().len(), node.id.clone()));
        self.write()
    }

    /// This node has left.
    pub(crate) fn forget(&mut self, node: &NodeId) -> Result<(), KlusterError> {
        self.described.nodes.retain(|known| known.id != *node);
        self.write()
    }

    fn write(&self) -> Result<(), KlusterError> {
        let file = self.path.join(DESCRIPTION);
        let bytes = serde_json::to_vec_pretty(&self.described).map_err(io::Error::other);
        bytes.and_then(|bytes| replace(&file, &bytes)).map_err(|error| cannot_use(&file, &error))
    }
}

/// Replaces a file as a whole.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str) -> Described {
        Described { id: id.into(), dbms: "SQLite".into(), at: format!("{id}.db"), own_file: true }
    }

    #[test]
    fn what_is_remembered_is_read_again_in_the_order_of_the_names() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(&root.path().join("a/b")).unwrap();
        let mut home = directory.of_database(&DatabaseName::default()).unwrap();
        assert!(home.nodes().is_empty());
        for id in ["n10", "n2", "n1"] {
            home.remember(&node(id)).unwrap();
        }
        home.forget(&"n1".into()).unwrap();
        let home = directory.of_database(&DatabaseName::default()).unwrap();
        assert_eq!(home.nodes(), [node("n2"), node("n10")]);
        assert!(!root.path().join("a/b").join(PROBE).exists());
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Directory::open(&file.join("below")).unwrap_err();
        assert!(matches!(&error, KlusterError::Directory(text) if text.contains("file/below")), "{error}");
        let full = cannot_use(&file, &io::Error::from(ErrorKind::StorageFull));
        assert!(matches!(full, KlusterError::DiskFull(_)), "{full}");
    }
}
