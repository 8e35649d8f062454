//! Cluster: the way to a cluster that answers, and what it speaks; or one clear message about what is missing.

use crate::error::KlusterError;
use kluster_admin::dialect::dialect_of;
use kluster_admin::nodes::Nodes;
use kluster_client::{Client, ClientId, Log, LogError, LogSettings, Options};
use kluster_node::report::Clock;
use kluster_sql::Dialect;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Kafka answers in milliseconds, and a person waits for it; a new leader is elected in less, mostly.
const KAFKA_ANSWERS_IN: Duration = Duration::from_secs(5);

/// A cluster that can be asked.
pub struct Cluster {
    /// Asks it.
    pub client: Client,
    /// Its log.
    pub log: Log,
    /// This machine's clock, in milliseconds since 1970.
    pub clock: Clock,
    /// Whose SQL it speaks.
    pub dialect: Dialect,
    /// Who is there, for people: `3 nodes, SQLite 3.50.2`.
    pub about: String,
    /// Nobody who could answer is there now.
    pub deserted: bool,
}

impl Cluster {
    /// Reaches the cluster. `dialect`: said by hand, so that no node is asked. `client_id`: under which an earlier attempt was sent.
    pub async fn reach(
        settings: &LogSettings,
        dialect: Option<Dialect>,
        client_id: Option<ClientId>,
    ) -> Result<Self, KlusterError> {
        let settings = LogSettings { deadline: settings.deadline.min(KAFKA_ANSWERS_IN), ..settings.clone() };
        if nobody_listens(&settings.bootstrap).await {
            return Err(no_cluster(&settings));
        }
        let log = Log::connect(settings.clone()).await.map_err(|error| nobody_answers(&settings, error))?;
        let clock: Clock =
            Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64));
        let options = Options { client_id, ..Options::default() };
        let (client, nodes) = tokio::join!(Client::over(log.clone(), options), Nodes::read(&log, &clock));
        let client = client.map_err(|error| match error {
            kluster_client::ClientError::Log { source, .. } => nobody_answers(&settings, source),
            other => KlusterError::Settings(other.to_string()),
        })?;
        let mut nodes = nodes.map_err(|error| nobody_answers(&settings, error))?;
        if nodes.heard().count() == 0 && dialect.is_none() {
            return Err(no_nodes(&settings));
        }
        let dialect = match dialect {
            Some(dialect) => dialect,
            None => dialect_of(&nodes)?,
        };
        if count_live(&nodes) == 0 {
            // Its last heartbeat may only seem old, by this machine's clock.
            nodes.listen().await.map_err(|error| nobody_answers(&settings, error))?;
        }
        let deserted = count_live(&nodes) == 0;
        Ok(Self { client, log, clock, dialect, about: about(&nodes), deserted })
    }

    /// Why nothing would be answered, where that is known.
    pub fn check_live(&self) -> Result<(), KlusterError> {
        match self.deserted {
            true => Err(KlusterError::Log(
                "no node is live, so nothing would be answered. If they are stopped, start them again (kluster-node, or kluster up in its directory); \
                 if they run, the log takes no records: is its disk full? Whoever runs it was told so. kluster-admin status shows what they said last"
                    .to_owned(),
            )),
            false => Ok(()),
        }
    }
}

fn count_live(nodes: &Nodes) -> usize {
    nodes.heard().filter(|(node, _)| nodes.is_live(node)).count()
}

fn about(nodes: &Nodes) -> String {
    let live = nodes.heard().filter(|(node, _)| nodes.is_live(node));
    let systems: BTreeSet<String> =
        live.map(|(_, heard)| format!("{} {}", heard.heartbeat.dbms, heard.heartbeat.dbms_version)).collect();
    let count = kluster_admin::show::count(count_live(nodes), "node");
    let systems: Vec<String> = systems.into_iter().collect();
    match systems.is_empty() {
        true => "no node is live".to_owned(),
        false => format!("{count}, {}", systems.join(" and ")),
    }
}

/// Every address refuses a connection. Kafka's client would go on trying until its deadline; a person would wait for that.
async fn nobody_listens(bootstrap: &str) -> bool {
    for address in bootstrap.split(',') {
        match timeout(KAFKA_ANSWERS_IN, TcpStream::connect(address)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            // It listens, or only Kafka's client can tell.
            Ok(_) | Err(_) => return false,
        }
    }
    true
}

fn no_cluster(settings: &LogSettings) -> KlusterError {
    KlusterError::Log(format!(
        "no cluster answers at {}. `kluster up` starts one on this machine; --bootstrap says where another is",
        settings.bootstrap
    ))
}

fn nobody_answers(settings: &LogSettings, error: LogError) -> KlusterError {
    let at = &settings.bootstrap;
    match error {
        LogError::Settings(what) => KlusterError::Settings(what),
        LogError::Unreachable { .. } => no_cluster(settings),
        LogError::MissingTopic { name } => KlusterError::Log(format!(
            "Kafka answers at {at}, but has no topic {name:?}, so no database `{}` of Kluster. `kluster up` starts a cluster on this machine; else \
             check --bootstrap, --database and --topic-prefix, or create the topics with `kluster-admin topics create`",
            settings.database
        )),
        other => KlusterError::Log(other.to_string()),
    }
}

fn no_nodes(settings: &LogSettings) -> KlusterError {
    KlusterError::Log(format!(
        "Kafka answers at {}, but no node of database `{}` was ever heard of: start one with kluster-node, or a whole cluster on this machine with \
         `kluster up`; or check --database and --topic-prefix",
        settings.bootstrap, settings.database
    ))
}
