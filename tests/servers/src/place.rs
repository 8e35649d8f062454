//! What serves the log and where servers run, as the environment chooses: on this machine, in Docker, or (Kafka only) somewhere already.

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
    /// `KLUSTER_TEST_LOG=kafka|broker`; Apache Kafka when unset.
    ///
    /// # Panics
    /// When it is anything else.
    pub fn chosen() -> Self {
        match std::env::var("KLUSTER_TEST_LOG").as_deref() {
            Err(_) | Ok("" | "kafka") => Self::Kafka,
            Ok("broker") => Self::Broker,
            Ok(other) => panic!("KLUSTER_TEST_LOG is {other:?}: set it to \"kafka\" or \"broker\", or not at all"),
        }
    }
}

/// `KLUSTER_TEST_BOOTSTRAP`: the address of a Kafka that runs already and that shared tests use instead of their own.
pub(crate) fn external_bootstrap() -> Option<String> {
    std::env::var("KLUSTER_TEST_BOOTSTRAP").ok().filter(|address| !address.is_empty())
}
