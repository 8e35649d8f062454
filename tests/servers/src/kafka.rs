//! A server of the log, made for one test or shared by the tests of a process: Apache Kafka, a combined KRaft broker and controller, or the
//! embedded broker.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use rand::distr::{Alphanumeric, SampleString};
use rustix::process::Signal;

use crate::docker::{self, Answers, Container, Settings};
use crate::engine::{Engine, disturbed};
use crate::error::ServerError;
use crate::home;
use crate::local::LocalServer;
use crate::place::{self, LogServer, Place};
use crate::port;
use crate::process::Launch;
use crate::programs;

/// One for clients, one for the controller.
const PORTS: u16 = 2;
const PORT_INSIDE: u16 = 9092;
/// The same version as in scripts/kafka/pom.xml.
const IMAGE: &str = "apache/kafka-native:4.3.1";

/// What differs from the defaults of `scripts/kafka/bin/kafka-server` (one copy of everything, records up to 16 MiB, no automatic
/// topics, no waiting for a group's second member).
#[derive(Debug, Clone, Default)]
pub struct KafkaOptions {
    /// Lines of server.properties; they win over the defaults. The embedded broker has no such file and takes none.
    pub properties: Vec<(String, String)>,
    /// The cluster id, where properties make it a broker of another server's cluster; else a new one. Only of a local Apache Kafka.
    pub cluster_id: Option<String>,
}

/// A running Kafka. Dropped, it is gone with all its data.
#[derive(Debug)]
pub struct KafkaServer {
    engine: Engine,
    bootstrap: String,
}

disturbed!(KafkaServer);

impl KafkaServer {
    /// Starts a private one of the kind that `KLUSTER_TEST_LOG` chooses; ready when this returns.
    pub async fn start(options: KafkaOptions) -> Result<Self, ServerError> {
        Self::start_as(LogServer::chosen(), options).await
    }

    /// Starts a private one of this kind, Apache Kafka in the place that `KLUSTER_TEST_SERVERS` chooses; ready when this returns.
    pub async fn start_as(kind: LogServer, options: KafkaOptions) -> Result<Self, ServerError> {
        match (kind, Place::chosen()) {
            (LogServer::Broker, _) => Self::start_broker(options).await,
            (LogServer::Kafka, Place::Local) => Self::start_local(options).await,
            (LogServer::Kafka, Place::Docker) => Self::start_docker(options).await,
        }
    }

    /// The Kafka of `KLUSTER_TEST_BOOTSTRAP` when that is set, else a private one. What such a Kafka holds from earlier runs stays:
    /// take new topic names.
    pub async fn external_or_start() -> Result<Self, ServerError> {
        match place::external_bootstrap() {
            Some(bootstrap) => Ok(Self { engine: Engine::External(bootstrap.clone()), bootstrap }),
            None => Self::start(KafkaOptions::default()).await,
        }
    }

    async fn start_broker(options: KafkaOptions) -> Result<Self, ServerError> {
        if let Some((name, _)) = options.properties.first() {
            return Err(ServerError::Missing(format!("{name}: the embedded broker has no server.properties")));
        }
        let program = programs::broker()?;
        let (server, port) = LocalServer::start(1, async |port| {
            let home = home::make("kluster-broker-", None)?;
            let command = vec![program.clone().into_os_string(), home.join("data").into(), port.to_string().into()];
            Ok(Launch {
                server: "the embedded broker",
                command,
                environment: Vec::new(),
                home,
                account: None,
                parting_signal: "KILL",
                orderly_signal: Signal::TERM,
                ready_line: "broker-under-test: ready",
            })
        })
        .await?;
        Ok(Self { engine: Engine::Local(Box::new(server)), bootstrap: format!("127.0.0.1:{port}") })
    }

    async fn start_local(options: KafkaOptions) -> Result<Self, ServerError> {
        let script = programs::kafka_script("kafka-server")?;
        let (server, port) = LocalServer::start(PORTS, async |port| {
            let home = home::make("kluster-kafka-", None)?;
            let mut command = vec![script.clone().into_os_string(), "--dir".into(), home.clone().into()];
            command.extend(["--port".into(), port.to_string().into()]);
            if let Some(id) = &options.cluster_id {
                command.extend(["--cluster-id".into(), id.into()]);
            }
            for (name, value) in &options.properties {
                command.extend(["--property".into(), format!("{name}={value}").into()]);
            }
            Ok(Launch {
                server: "Kafka",
                command,
                environment: Vec::new(),
                home,
                account: None,
                parting_signal: "KILL",
                orderly_signal: Signal::TERM,
                ready_line: "Kafka Server started",
            })
        })
        .await?;
        Ok(Self { engine: Engine::Local(Box::new(server)), bootstrap: format!("127.0.0.1:{port}") })
    }

    async fn start_docker(options: KafkaOptions) -> Result<Self, ServerError> {
        let mut environment = container_environment(&options);
        // Else all containers would be of one and the same cluster. 16 bytes in base64, the last 4 of 132 bits being none.
        let id = Alphanumeric.sample_string(&mut rand::rng(), 21) + "A";
        environment.push(("CLUSTER_ID".to_owned(), id));
        let settings = Settings { arguments: Vec::new(), environment };
        let answers = |port| Answers::Kafka(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let image = docker::image("KLUSTER_TEST_KAFKA_IMAGE", IMAGE);
        let (container, port) = Container::start("Kafka", PORT_INSIDE, answers, image, settings).await?;
        Ok(Self { engine: Engine::Docker(Box::new(container)), bootstrap: format!("127.0.0.1:{port}") })
    }

    /// `host:port`, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Starts a second broker of this local Apache Kafka's cluster, whose id this is; ready when this returns.
    pub async fn second_broker(&self, cluster_id: &str) -> Result<Self, ServerError> {
        let port: u16 = self.bootstrap.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default();
        let own = port::free(1)?;
        let properties = [
            ("process.roles", "broker".to_owned()),
            ("node.id", "2".to_owned()),
            ("controller.quorum.voters", format!("1@127.0.0.1:{}", port + 1)),
            ("listeners", format!("PLAINTEXT://127.0.0.1:{own}")),
            ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{own}")),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let options = KafkaOptions { properties, cluster_id: Some(cluster_id.to_owned()) };
        let second = Self::start_local(options).await?;
        Ok(Self { bootstrap: format!("127.0.0.1:{own}"), ..second })
    }

    /// One of Kafka's own tools (`kafka-topics`, `kafka-console-producer`, `kafka-console-consumer`, `kafka-consumer-groups`,
    /// `kafka-configs`, `kafka-delete-records`), already told this server's address.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> Result<Command, ServerError> {
        kafka_tool(name, &self.bootstrap, arguments)
    }
}

/// One of Kafka's own tools, told the address of whatever speaks Kafka's protocol.
pub fn kafka_tool(name: &str, bootstrap: &str, arguments: &[&str]) -> Result<Command, ServerError> {
    let mut command = Command::new(programs::kafka_script(name)?);
    command.args(["--bootstrap-server", bootstrap]).args(arguments);
    Ok(command)
}

/// The settings of scripts/kafka/bin/kafka-server in the image's own form: `KAFKA_` and the name with underscores.
fn container_environment(options: &KafkaOptions) -> Vec<(String, String)> {
    let fixed = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", "1@localhost:9093"),
        ("controller.listener.names", "CONTROLLER"),
        // The broker speaks to itself too (transactions), by its advertised address: in the container the port of clients is another.
        ("listeners", "PLAINTEXT://0.0.0.0:9092,BROKER://localhost:9094,CONTROLLER://localhost:9093"),
        ("advertised.listeners", "PLAINTEXT://127.0.0.1:{port},BROKER://localhost:9094"),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("inter.broker.listener.name", "BROKER"),
        ("auto.create.topics.enable", "false"),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "4"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("transaction.state.log.num.partitions", "4"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("message.max.bytes", "16777216"),
        ("replica.fetch.max.bytes", "16777216"),
        ("broker.session.timeout.ms", "2000"),
        ("broker.heartbeat.interval.ms", "500"),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    fixed
        .chain(options.properties.iter().cloned())
        .map(|(name, value)| (format!("KAFKA_{}", name.to_uppercase().replace('.', "_")), value))
        .collect()
}
