//! The power-loss record: beside each file a note of what would be left of it if the power failed now. Notes are not fsynced; they outlive a
//! killed process, not a real power failure. After the kill a test calls [`cut_to_synced`] and has the directory that a power failure leaves in
//! the worst case: nothing that was not synced; or [`tear_behind_synced`], and some of that is left.
//!
//! | name | what |
//! | --- | --- |
//! | `<file>.synced` | the note: whether the name is durable (`+`) or new (`-`), and the length at the last fdatasync |
//! | `<file>.before` | what a rename replaced, until the directory is synced |
//! | `<file>.removed` | what was removed, until the directory is synced |

use crate::fault::next_random;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Linux writes a file back by pages of this size.
const PAGE_BYTES: u64 = 4096;
const NOTE: &str = ".synced";
const BEFORE: &str = ".before";
const REMOVED: &str = ".removed";
const NEW: &[u8] = b"-";
const NAMED: &[u8] = b"+";

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn note_of(path: &Path) -> PathBuf {
    with_suffix(path, NOTE)
}

/// The path that had `suffix` appended; None if it does not end so.
fn without_suffix(path: &Path, suffix: &str) -> Option<PathBuf> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    Some(path.with_file_name(name.strip_suffix(suffix)?))
}

/// Written in place and in one piece, so that a killed process leaves a whole note.
fn write_note(path: &Path, name: &[u8], length: u64) -> io::Result<()> {
    let mut note = name.to_vec();
    note.extend(format!("{length:020}").bytes());
    OpenOptions::new().write(true).create(true).truncate(false).open(note_of(path))?.write_all_at(&note, 0)
}

/// A file or directory was created: its name is new, nothing in it durable.
pub(crate) fn created(path: &Path) -> io::Result<()> {
    write_note(path, NEW, 0)
}

/// A file was opened; one without a note is taken to be durable as it is.
pub(crate) fn opened(path: &Path, length: u64) -> io::Result<()> {
    if note_of(path).exists() { Ok(()) } else { write_note(path, NAMED, length) }
}

/// The file was synced when it had this length.
pub(crate) fn synced(path: &Path, length: u64) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(note_of(path))?
        .write_all_at(format!("{length:020}").as_bytes(), NAMED.len() as u64)
}

/// Renames a file; what it replaces is kept until the directory is synced.
pub(crate) fn renamed(from: &Path, to: &Path) -> io::Result<()> {
    let before = with_suffix(to, BEFORE);
    if to.exists() && !before.exists() {
        fs::rename(note_of(to), note_of(&before))?;
        fs::hard_link(to, &before)?;
    }
    fs::rename(from, to)?;
    fs::rename(note_of(from), note_of(to))?;
    OpenOptions::new().write(true).open(note_of(to))?.write_all_at(NEW, 0)
}

/// Removes a file; it is kept under another name until the directory is synced.
pub(crate) fn removed(path: &Path) -> io::Result<()> {
    let kept = with_suffix(path, REMOVED);
    fs::rename(path, &kept)?;
    fs::rename(note_of(path), note_of(&kept))
}

/// What was new in a directory before it was synced.
pub(crate) struct Unsettled(Vec<PathBuf>);

impl Unsettled {
    /// To be listed before the sync: what comes during it need not be durable.
    pub fn list(dir: &Path) -> io::Result<Self> {
        Ok(Self(paths(dir)?))
    }

    /// The sync has succeeded.
    pub fn settle(self) -> io::Result<()> {
        for path in self.0 {
            let gone = [BEFORE, REMOVED].iter().any(|suffix| path.as_os_str().to_string_lossy().contains(suffix));
            if gone {
                unless_missing(fs::remove_file(&path))?;
            } else if without_suffix(&path, NOTE).is_some() {
                unless_missing(
                    OpenOptions::new().write(true).open(&path).and_then(|note| note.write_all_at(NAMED, 0)),
                )?;
            }
        }
        Ok(())
    }
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// In one order on every machine: chance follows it.
fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    Ok(paths)
}

/// Cuts every file of a data directory, and of those in it, back to its last fdatasync; files whose name was never synced go, what was removed
/// or replaced without a sync of the directory comes back. For tests, after a broker that kept the power-loss record was killed.
///
/// # Errors
/// The file system refused, or a note is not one of ours.
pub fn cut_to_synced(dir: &Path) -> io::Result<()> {
    lose(dir, &mut |path, length| open(path)?.set_len(length))
}

/// As [`cut_to_synced`], but of what was not synced every page is lost or not by itself, as chance from this seed decides: a lost one reads as zeros,
/// and whole batches may follow it.
///
/// # Errors
/// As there.
pub fn tear_behind_synced(dir: &Path, seed: u64) -> io::Result<()> {
    let mut random = seed;
    lose(dir, &mut |path, length| tear(path, length, &mut random))
}

fn tear(path: &Path, length: u64, random: &mut u64) -> io::Result<()> {
    let file = open(path)?;
    let end = file.metadata()?.len();
    let mut at = length;
    while at < end {
        let page_end = ((at / PAGE_BYTES + 1) * PAGE_BYTES).min(end);
        if next_random(random) < 0.5 {
            file.write_all_at(&[0; PAGE_BYTES as usize][..usize::try_from(page_end - at).unwrap_or(0)], at)?;
        }
        at = page_end;
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    File::options().write(true).open(path)
}

/// What the power failure does to a file that is longer than its synced length.
type Loss<'a> = dyn FnMut(&Path, u64) -> io::Result<()> + 'a;

fn lose(dir: &Path, loss: &mut Loss<'_>) -> io::Result<()> {
    for suffix in [REMOVED, BEFORE] {
        for path in paths(dir)? {
            if let Some(original) = without_suffix(&path, suffix) {
                fs::rename(&path, &original)?;
                fs::rename(note_of(&path), note_of(&original))?;
            }
        }
    }
    for path in paths(dir)? {
        if let Some(original) = without_suffix(&path, NOTE) {
            lose_of(&original, &path, loss)?;
        }
    }
    for path in paths(dir)? {
        if path.is_dir() {
            lose(&path, loss)?;
        }
    }
    Ok(())
}

fn lose_of(path: &Path, note: &Path, loss: &mut Loss<'_>) -> io::Result<()> {
    let text = fs::read_to_string(note)?;
    let is_new = text.as_bytes().starts_with(NEW);
    let length = text.get(1..).and_then(|length| length.parse::<u64>().ok());
    let length =
        length.ok_or_else(|| io::Error::other(format!("{}: not a note of the power-loss record", note.display())))?;
    if is_new || !path.exists() {
        unless_missing(if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) })?;
        return fs::remove_file(note);
    }
    if path.is_file() && fs::metadata(path)?.len() > length {
        loss(path, length)?;
    }
    Ok(())
}
