//! Tests whose parts are missing on this machine say so and are counted as skipped, never as passed in silence.

use std::io::Write;
use std::path::Path;

use crate::place::{self, LogServer, Place, in_ci};
use crate::programs;

/// Something a test needs from the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A server of the log: Apache Kafka, or the embedded broker where `KLUSTER_TEST_LOG` says so or nothing else is there.
    Kafka,
    /// Kafka's own Java tools.
    KafkaTools,
    /// A PostgreSQL server.
    Postgres,
    /// A MariaDB server.
    MariaDb,
    /// A Docker engine and its command.
    Docker,
    /// A Docker engine and Docker Compose.
    Compose,
    /// A program on the PATH.
    Program(&'static str),
}

impl Part {
    /// Whether this machine has it; else why not, and what to do.
    pub fn available(self) -> Result<(), String> {
        match self {
            Self::Docker => docker(),
            Self::Compose => docker().and_then(|()| compose()),
            Self::Kafka if place::external_bootstrap().is_some() => Ok(()),
            Self::Kafka if LogServer::chosen() == LogServer::Broker => {
                programs::broker().map(|_| ()).map_err(|error| error.to_string())
            }
            Self::Kafka | Self::Postgres | Self::MariaDb if Place::chosen() == Place::Docker => docker(),
            Self::Kafka => programs::kafka_script("kafka-server").map(|_| ()).map_err(|error| error.to_string()),
            Self::KafkaTools => programs::kafka_script("kafka-topics").map(|_| ()).map_err(|error| error.to_string()),
            Self::Postgres => programs::postgres_bin().map(|_| ()).map_err(|error| error.to_string()),
            Self::MariaDb => {
                let needed = ["mariadbd", "mariadb-install-db", "mariadb"];
                needed
                    .iter()
                    .try_for_each(|name| programs::mariadb(name).map(|_| ()))
                    .map_err(|error| error.to_string())
            }
            Self::Program(name) => match programs::on_path(name) {
                Some(_) => Ok(()),
                None => Err(format!("{name} is not on the PATH: run scripts/setup (make setup)")),
            },
        }
    }

    /// Docker is optional everywhere; all else is part of the project's set-up.
    fn optional(self) -> bool {
        let server = matches!(self, Self::Kafka | Self::Postgres | Self::MariaDb);
        matches!(self, Self::Docker | Self::Compose) || (server && Place::chosen() == Place::Docker)
    }
}

/// True when all parts are there. Else the test must return: the reason is printed as `SKIPPED: …` and recorded with
/// [`record_skip`]. The macro `require!` does both.
///
/// # Panics
/// With `CI=true`, when anything but Docker is missing: there, a skipped test is a failed one.
#[must_use = "a test whose parts are missing must return"]
pub fn require(parts: &[Part]) -> bool {
    let missing = parts.iter().find_map(|part| part.available().err().map(|reason| (*part, reason)));
    let Some((part, reason)) = missing else { return true };
    match part.optional() {
        true => record_beyond_setup(&reason),
        false => record_skip(&reason),
    }
    false
}

/// Returns from the test when a part is missing: `require!(Kafka, Postgres);`
#[macro_export]
macro_rules! require {
    ($($part:ident $(($of:expr))?),+ $(,)?) => {
        if !$crate::require(&[$($crate::Part::$part $(($of))?),+]) {
            return;
        }
    };
}

/// Says that the running test is skipped, and adds a line to the file that `KLUSTER_SKIP_FILE` names. For parts that have no [`Part`].
///
/// # Panics
/// With `CI=true`, unless what is missing is missing because servers run in containers: there, a skipped test is a failed one.
pub fn record_skip(reason: &str) {
    assert!(!in_ci() || Place::chosen() == Place::Docker, "CI must have all parts of the tests: {reason}");
    record(reason);
}

/// As [`record_skip`], for what the set-up cannot bring to a machine: a toolchain of another language, a right that the kernel does not give. It is
/// counted as skipped, also in CI.
pub fn record_beyond_setup(reason: &str) {
    record(reason);
}

fn record(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    eprintln!("SKIPPED: {test}: {reason}");
    if let Some(file) = std::env::var_os("KLUSTER_SKIP_FILE").filter(|file| !file.is_empty())
        && let Err(error) = append(Path::new(&file), &format!("{test}: {reason}\n"))
    {
        eprintln!("the skipped test could not be recorded in {}: {error}", file.display());
    }
}

fn append(file: &Path, line: &str) -> std::io::Result<()> {
    std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())
}

/// An engine is there when its socket takes connections; one elsewhere (`DOCKER_HOST=tcp://…`) is believed.
fn docker() -> Result<(), String> {
    programs::on_path("docker").ok_or("there is no command `docker`")?;
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let socket = match host.as_deref() {
        None => "/var/run/docker.sock",
        Some(host) => match host.strip_prefix("unix://") {
            Some(socket) => socket,
            None => return Ok(()),
        },
    };
    let connected = std::os::unix::net::UnixStream::connect(socket);
    connected.map(|_| ()).map_err(|error| format!("no Docker engine at {socket} ({error})"))
}

fn compose() -> Result<(), String> {
    let asked = std::process::Command::new("docker").args(["compose", "version"]).output();
    match asked.is_ok_and(|answer| answer.status.success()) {
        true => Ok(()),
        false => Err("`docker compose version` fails: the plugin Docker Compose is missing".to_owned()),
    }
}
