//! A small file system of its own, which a test may fill. Only root may mount one.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory. Dropped, it is gone as soon as nobody uses it.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one with room for so many megabytes; the error says why it cannot be.
    pub fn mount(megabytes: u32) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let size = format!("size={megabytes}m,mode=777");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).output();
        match mounted {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                return Err(format!("no file system can be mounted: {}", String::from_utf8_lossy(&output.stderr)));
            }
            Err(error) => return Err(format!("mount does not run: {error}")),
        }
        let everybody = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(directory.path(), everybody).map_err(|error| error.to_string())?;
        Ok(Self(directory))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes all room that is left. What a server has laid out before, such as a redo log, has its room first: a copied file may have holes.
    pub fn fill(&self) {
        const LAY_OUT: &str = r#"find . -type f -size +0 -exec sh -c 'fallocate -l "$(stat -c %s "$1")" "$1"' _ {} \;"#;
        let laid_out = Command::new("sh").args(["-c", LAY_OUT]).current_dir(self.path()).status();
        assert!(laid_out.expect("sh runs").success(), "{} has no room for what is there", self.path().display());
        let mut filler = std::fs::File::create(self.filler()).expect("a file can be created");
        for size in [1 << 20, 4096] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Gives back the room that was taken.
    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("the file can be removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server of this process may use it until the process ends.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
