//! What serves the log and where servers run, as the environment chooses: on this machine, in Docker, or (Kafka only) somewhere already.

use std::sync::LazyLock;

use crate::programs;

/// Where a new server is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// From programs installed here.
    Local,
    /// In containers of the Docker engine.
    Docker,
}

impl Place {
    /// `KLUSTER_TEST_SERVERS=local|docker`; local when unset.
    ///
    /// # Panics
    /// When it is anything else: a test run that silently tests elsewhere is worse than none.
    pub fn chosen() -> Self {
        match std::env::var("KLUSTER_TEST_SERVERS").as_deref() {
            Err(_) | Ok("" | "local") => Self::Local,
            Ok("docker") => Self::Docker,
            Ok(other) => panic!("KLUSTER_TEST_SERVERS is {other:?}: set it to \"local\" or \"docker\", or not at all"),
        }
    }
}

/// What serves the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogServer {
    /// Apache Kafka.
    Kafka,
    /// The embedded broker, as a process of its own.
    Broker,
}

impl LogServer {
    /// `KLUSTER_TEST_LOG=kafka|broker`. When unset: Apache Kafka; where its parts are missing, the embedded broker, which is said on stderr. Never
    /// so in CI, where all parts must be there.
    ///
    /// # Panics
    /// When it is anything else.
    pub fn chosen() -> Self {
        match std::env::var("KLUSTER_TEST_LOG").as_deref() {
            Err(_) | Ok("") => Self::present(),
            Ok("kafka") => Self::Kafka,
            Ok("broker") => Self::Broker,
            Ok(other) => panic!("KLUSTER_TEST_LOG is {other:?}: set it to \"kafka\" or \"broker\", or not at all"),
        }
    }
}

impl LogServer {
    /// Apache Kafka unless nothing but the embedded broker is there.
    fn present() -> Self {
        static CHOSEN: LazyLock<LogServer> = LazyLock::new(|| {
            let elsewhere = external_bootstrap().is_some() || Place::chosen() == Place::Docker;
            let missing = programs::kafka_script("kafka-server").err().filter(|_| !elsewhere && !in_ci());
            match missing {
                Some(missing) if programs::broker().is_ok() => {
                    eprintln!(
                        "Apache Kafka is not there ({missing}): the embedded broker serves the log of these tests"
                    );
                    LogServer::Broker
                }
                _ => LogServer::Kafka,
            }
        });
        *CHOSEN
    }
}

/// Whether all parts must be there.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// `KLUSTER_TEST_BOOTSTRAP`: the address of a Kafka that runs already and that shared tests use instead of their own.
pub(crate) fn external_bootstrap() -> Option<String> {
    std::env::var("KLUSTER_TEST_BOOTSTRAP").ok().filter(|address| !address.is_empty())
}
