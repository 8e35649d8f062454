//! Finds the servers' programs: where the environment says, where Debian and others put them, on the PATH.

use std::path::{Path, PathBuf};

use crate::error::ServerError;

/// Debian keeps PostgreSQL's server programs off the PATH, one directory for each version.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";
const POSTGRES_OTHERS: [&str; 3] = ["/usr/local/pgsql/bin", "/usr/pgsql/bin", "/opt/homebrew/bin"];
/// Server programs that an unprivileged user's PATH often lacks.
const SYSTEM: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/mysql/bin"];

/// The directory with initdb and postgres; `KLUSTER_POSTGRES_BIN` wins, then the newest that Debian installed.
pub(crate) fn postgres_bin() -> Result<PathBuf, ServerError> {
    let given = std::env::var_os("KLUSTER_POSTGRES_BIN").map(PathBuf::from);
    let others = POSTGRES_OTHERS.iter().map(PathBuf::from).chain(path());
    let mut candidates = given.into_iter().chain(debian_versions()).chain(others);
    candidates
        .find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .ok_or_else(|| missing("PostgreSQL's server (initdb, postgres)", "KLUSTER_POSTGRES_BIN"))
}

/// Newest first.
fn debian_versions() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(POSTGRES_VERSIONS)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, bin)| bin).collect()
}

/// A program of MariaDB; `KLUSTER_MARIADB_BIN` wins.
pub(crate) fn mariadb(name: &str) -> Result<PathBuf, ServerError> {
    let given = std::env::var_os("KLUSTER_MARIADB_BIN").map(PathBuf::from);
    first_with(name, given.into_iter().chain(path()).chain(SYSTEM.iter().map(PathBuf::from)))
        .ok_or_else(|| missing(&format!("MariaDB's {name}"), "KLUSTER_MARIADB_BIN"))
}

/// A program on the PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    first_with(name, path())
}

/// Apache Kafka's scripts in this repository, once Java and the jars are there.
pub(crate) fn kafka_script(name: &str) -> Result<PathBuf, ServerError> {
    let kafka = repository().join("scripts/kafka/bin").join(name);
    let libs = std::env::var_os("KLUSTER_KAFKA_LIBS").map_or(repository().join(".cache/kafka/libs"), PathBuf::from);
    if !libs.is_dir() {
        return Err(missing("Apache Kafka's jars", "KLUSTER_KAFKA_LIBS"));
    }
    if on_path("java").is_none() {
        return Err(missing("java (17 or newer)", "PATH"));
    }
    if !kafka.is_file() {
        return Err(ServerError::Missing(format!("{} is not a script of this repository", kafka.display())));
    }
    Ok(kafka)
}

/// The embedded broker, which cargo builds into the directory above the running test's.
pub(crate) fn broker() -> Result<PathBuf, ServerError> {
    let test = std::env::current_exe().map_err(|error| ServerError::Missing(format!("where this test is: {error}")))?;
    let found =
        test.ancestors().skip(1).map(|directory| directory.join("broker-under-test")).find(|program| program.is_file());
    let build = "broker-under-test is not built: run cargo build -p kluster-test-servers";
    found.ok_or_else(|| ServerError::Missing(build.to_owned()))
}

fn repository() -> &'static Path {
    // tests/servers lies two steps below the root.
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn path() -> impl Iterator<Item = PathBuf> {
    std::env::var_os("PATH").map(|value| std::env::split_paths(&value).collect::<Vec<_>>()).into_iter().flatten()
}

fn first_with(name: &str, mut directories: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    directories.find_map(|directory| Some(directory.join(name)).filter(|program| program.is_file()))
}

fn missing(what: &str, variable: &str) -> ServerError {
    ServerError::Missing(format!("{what} not found: run scripts/setup (make setup), or set {variable}"))
}
