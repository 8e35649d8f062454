//! A server's private directory under the machine's temporary directory.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::account::Account;
use crate::error::{During, ServerError};

/// Longer paths leave no room for the name of a Unix socket (limit 107 bytes).
const LONGEST_TEMPORARY_PATH: usize = 60;

/// A new, empty directory that belongs to the account. The server's watchdog removes it.
pub(crate) fn make(prefix: &str, account: Option<Account>) -> Result<PathBuf, ServerError> {
    make_in(None, prefix, account)
}

/// The same, in this directory; None: in the machine's temporary directory.
pub(crate) fn make_in(
    directory: Option<&Path>,
    prefix: &str,
    account: Option<Account>,
) -> Result<PathBuf, ServerError> {
    let base = directory.map_or_else(|| temporary_directory(account.is_some()), Path::to_path_buf);
    let home = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(&base)
        .during(format!("making a directory in {}", base.display()))?
        .keep();
    if let Some(account) = account {
        account.owns(&home)?;
    }
    Ok(home)
}

/// True when directories and logs should stay for a look at them.
pub(crate) fn kept() -> bool {
    std::env::var_os("KLUSTER_TEST_KEEP").is_some_and(|value| value != "0" && !value.is_empty())
}

/// `TMPDIR`, unless a socket's path would not fit there or another account could not reach it.
fn temporary_directory(for_another_account: bool) -> PathBuf {
    let wished = std::env::temp_dir();
    let fits = wished.as_os_str().len() <= LONGEST_TEMPORARY_PATH;
    if fits && (!for_another_account || reachable_by_all(&wished)) { wished } else { PathBuf::from("/tmp") }
}

fn reachable_by_all(directory: &Path) -> bool {
    const OTHERS_MAY_ENTER: u32 = 0o001;
    directory.ancestors().all(|part| {
        part.as_os_str().is_empty()
            || std::fs::metadata(part).is_ok_and(|data| data.permissions().mode() & OTHERS_MAY_ENTER != 0)
    })
}

/// Copies a prepared data directory, with owners and times.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), ServerError> {
    run(Command::new("cp").arg("-a").arg(from).arg(to)).map(|_| ())
}

/// Runs a helper program to its end; its output is the answer, or part of the error.
pub(crate) fn run(command: &mut Command) -> Result<String, ServerError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().during(format!("running {name}"))?;
    success(name, &output)
}

/// As [`run`], with text on its stdin, and without blocking.
pub(crate) async fn run_with_input(command: &mut Command, text: &str) -> Result<String, ServerError> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().during(format!("running {name}"))?;
    let stdin = child.stdin.take();
    let text = text.to_owned();
    let done = tokio::task::spawn_blocking(move || {
        // A program that ends before it has read everything says why on its stderr.
        let _ = stdin.map(|mut stdin| stdin.write_all(text.as_bytes()));
        child.wait_with_output()
    });
    let output =
        done.await.map_err(std::io::Error::other).and_then(|output| output).during(format!("running {name}"))?;
    success(name, &output)
}

fn success(name: String, output: &Output) -> Result<String, ServerError> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(ServerError::Command { command: name, output: format!("{}\n{said}{complaint}", output.status) })
}
