//! The directories of partitions: `<topic>-<index>`. One that is deleted gets another name first, so that what a crash leaves of it is no
//! partition; the next start removes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// No partition's directory ends so: they end in a number.
const RETIRED: &str = "-deleted";

/// Where a partition lies.
pub(super) fn partition_dir(dir: &Path, topic: &str, index: i32) -> PathBuf {
    dir.join(format!("{topic}-{index}"))
}

/// Removes the directory of a partition that no topic has, if there is one.
pub(super) fn retire(dir: &Path) -> io::Result<()> {
    let retired = dir.with_file_name(format!("{}{RETIRED}", Uuid::new_v4().simple()));
    match fs::rename(dir, &retired) {
        Ok(()) => fs::remove_dir_all(retired),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes what a crash left of deleted partitions.
pub(super) fn remove_retired(dir: &Path) -> io::Result<()> {
    for path in directories(dir)? {
        if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(RETIRED)) {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// Some partition's directory.
pub(super) fn any_partition(dir: &Path) -> io::Result<Option<PathBuf>> {
    let is_partition = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.rsplit_once('-').is_some_and(|(_, index)| index.parse::<i32>().is_ok())
    };
    Ok(directories(dir)?.into_iter().find(is_partition))
}

fn directories(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut directories = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            directories.push(entry.path());
        }
    }
    Ok(directories)
}
