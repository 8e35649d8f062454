//! up: a whole cluster in this process: the log, nodes beside SQLite files (or databases that are there), and on a terminal the prompt.
//!
//! The life of a start, and the modules in that order: the data directory is tried (`directory`), the log opened (`crate::broker`), the cluster
//! asked for compared with the one that lies there (`plan`), topics made, nodes started and waited for (`nodes`), and all of it said (`words`). It ends in the opposite order: prompt, nodes, log.
//!
//! Neighbours: everything that travels goes through the log, as with nodes that are processes of their own; `demo` starts such nodes.
//!
//! Invariants
//! 1. The line `ready …` leaves when every node is at the end of the log and counts, so that a statement is answered now, by all of them. No
//!    statement is asked to find out: its answer would be the first thing that a person finds in RESPONSES.
//! 2. A node that stops leaves the others alone.
//! 3. A directory is never taken for another cluster's: what lies there is described, and the description is compared.

pub(crate) mod directory;
pub(crate) mod ending;
pub(crate) mod nodes;
pub(crate) mod plan;
pub(crate) mod words;

use crate::broker::{LogServer, Place};
use crate::error::KlusterError;
use crate::signals::Signals;
use crate::sql::Sql;
use directory::{Directory, Home};
use ending::Ending;
use kluster_log::{Log, LogSettings, TopicSettings};
use nodes::Nodes;
use plan::{Asked, Plan};
use std::io::IsTerminal;
use tokio::time::Instant;
use words::Started;

/// The manual of the command.
pub const MANUAL: &str = "\
Start a whole cluster in this process: the log, three nodes on SQLite files, and on a terminal the prompt.

Everything lies in one directory; a second start there goes on where the first one ended, and so does one after a crash. When the cluster \
answers, one line `ready bootstrap=HOST:PORT nodes=N` leaves on stdout; all else is said on stderr. Without a terminal it serves until SIGTERM or \
SIGINT, then drains; a second signal ends it at once.

What is acknowledged is on this machine's disk, and survives a crash of the process or the machine. It is not highly available: for that, the \
same nodes run on Apache Kafka.";

/// What `up` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Up {
    /// Where the log is and how it is reached.
    #[command(flatten)]
    pub place: Place,
    /// How many nodes, on SQLite files in the directory; else as many as at the last start, at first 3
    #[arg(long, env = "KLUSTER_NODES", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=99), conflicts_with = "node")]
    pub nodes: Option<u16>,
    /// The database beside a node, instead of a file in the directory: postgres://…, mysql://…, mariadb://… or sqlite:FILE. Repeatable: n1, n2, …
    #[arg(long, value_name = "URL")]
    pub node: Vec<String>,
    /// Take out a node that is started no more, so that nobody waits for it. Repeatable
    #[arg(long, value_name = "NODE")]
    pub without: Vec<String>,
}

impl Up {
    /// Starts the cluster and serves until it is asked to end.
    pub async fn run(&self, settings: &LogSettings, signals: &Signals) -> Result<(), KlusterError> {
        let (begun, ending) = (Instant::now(), Ending::new(signals));
        if settings.bootstrap != LogSettings::default().bootstrap {
            eprintln!("kluster: --bootstrap is not used: this command starts a log of its own");
        }
        let directory = Directory::open(&self.place.dir)?;
        let opening = LogServer::open(&self.place, &directory);
        let Some(broker) = ending.unless_asked(opening).await? else { return Ok(()) };
        let settings = LogSettings { bootstrap: broker.bootstrap(), kafka_config: None, ..settings.clone() };
        let ran = match ending.unless_asked(broker.unless_full(self.prepare(&settings, &directory))).await {
            Ok(Some(prepared)) => self.run_nodes(prepared, &settings, &broker, signals, &ending, begun).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        ran.and(broker.stop().await)
    }

    /// The prompt's settings, what lies there, what is to run, and the log with its topics.
    async fn prepare(&self, settings: &LogSettings, directory: &Directory) -> Result<Prepared, KlusterError> {
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let prompt = terminal.then(Sql::of_environment).transpose()?;
        let home = directory.of_database(&settings.database)?;
        let asked = Asked { nodes: self.nodes, urls: &self.node, without: &self.without };
        let plan = Plan::make(&asked, &home)?;
        let log = Log::connect(settings.clone()).await?;
        log.create_topics(&TopicSettings::development()).await?;
        Ok(Prepared { prompt, home, plan, log })
    }

    /// The nodes' part, between the log's beginning and its end.
    async fn run_nodes(
        &self,
        prepared: Prepared,
        settings: &LogSettings,
        broker: &LogServer,
        signals: &Signals,
        ending: &Ending<'_>,
        begun: Instant,
    ) -> Result<(), KlusterError> {
        let mut nodes = Nodes::start(&prepared.plan, &prepared.log);
        let (plan, place, prompt) = (prepared.plan.clone(), &self.place, prepared.prompt.clone());
        let served = match ending.unless_asked(broker.unless_full(begin(&mut nodes, prepared))).await {
            Ok(Some(())) => {
                let (bootstrap, took) = (broker.advertised(), begun.elapsed());
                let started = Started { place, plan: &plan, nodes: &nodes, settings, bootstrap, took };
                tokio::select! {
                    ended = serve(&started, prompt.as_ref(), signals) => ended,
                    () = broker.tell_of_the_disk() => Ok(()),
                }
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        ending.begins();
        eprintln!("kluster: draining");
        served.and(nodes.drain().await)
    }
}

/// A log with its topics, and the nodes that are to run.
struct Prepared {
    /// None: this is no terminal, and there will be none.
    prompt: Option<Sql>,
    home: Home,
    plan: Plan,
    log: Log,
}

/// Waits until every node is at the end of the log and counts, and those who are to leave have left.
async fn begin(nodes: &mut Nodes, prepared: Prepared) -> Result<(), KlusterError> {
    let Prepared { mut home, plan, log, .. } = prepared;
    nodes.started(|node| home.remember(node)).await?;
    nodes.joined().await?;
    for node in &plan.absent {
        nodes.take_out(node, &plan, &log).await?;
        home.forget(node)?;
    }
    Ok(())
}

/// Says that the cluster answers, and waits until it is to end: on a terminal by leaving the prompt, else by a signal.
async fn serve(started: &Started<'_>, prompt: Option<&Sql>, signals: &Signals) -> Result<(), KlusterError> {
    started.say(prompt.is_some())?;
    let until = async {
        let Some(prompt) = prompt else {
            signals.asked_to_end().await;
            return Ok(());
        };
        let left = prompt.run(started.settings, signals).await;
        if !signals.terminated().is_cancelled() {
            eprintln!("kluster: the prompt is left, and the cluster ends with it");
        }
        left
    };
    tokio::select! {
        ended = until => ended,
        () = started.nodes.watch() => Ok(()),
    }
}
