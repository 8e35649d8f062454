//! words: what a person is told of a cluster that has started, on stderr; and the one line for machines, on stdout.

use super::nodes::Nodes;
use super::plan::Plan;
use crate::broker::Place;
use kluster_log::LogSettings;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

/// A cluster that answers.
pub(crate) struct Started<'a> {
    /// Where its log is.
    pub(crate) place: &'a Place,
    /// What was planned.
    pub(crate) plan: &'a Plan,
    /// The nodes.
    pub(crate) nodes: &'a Nodes,
    /// How the log is reached from this process.
    pub(crate) settings: &'a LogSettings,
    /// How it is reached from elsewhere.
    pub(crate) bootstrap: String,
    /// From the start of the command to the first answer.
    pub(crate) took: Duration,
}

impl Started<'_> {
    /// Says all of it; `prompt`: one follows.
    pub(crate) fn say(&self, prompt: bool) -> std::io::Result<()> {
        eprint!("{}", self.text(prompt));
        let (bootstrap, nodes) = (&self.bootstrap, self.plan.nodes.len());
        ready_line(&format!("ready bootstrap={bootstrap} nodes={nodes}"))
    }

    fn text(&self, prompt: bool) -> String {
        let mut text = String::new();
        let bootstrap = &self.bootstrap;
        // Writing to a String does not fail.
        let _ = writeln!(text, "A cluster in this process, ready after {:.2} s.", self.took.as_secs_f64());
        let _ = writeln!(text, "{DURABLE}");
        if !self.place.listen.is_loopback() {
            let _ = writeln!(
                text,
                "It listens on {}: whoever reaches that may read and write everything.",
                self.place.listen
            );
        }
        let _ = writeln!(text);
        let _ = writeln!(text, "  log   {bootstrap}   files in {}", self.place.dir.display());
        for node in self.nodes.each() {
            let http = node.http.map_or_else(String::new, |http| format!("   http://{http}/metrics"));
            let _ =
                writeln!(text, "  {:<5} {}   {}{http}", node.described.id, node.dbms, from_here(&node.described.at));
        }
        let _ = writeln!(text, "\n  In another terminal:    {}", self.command());
        let _ = writeln!(text, "  By any Kafka client:    {REQUEST} to topic {}", self.topic());
        let _ = match prompt {
            true => writeln!(text, "  Here:                   type SQL; \\q ends the cluster\n"),
            false => writeln!(text, "  SIGTERM ends it in order.\n"),
        };
        text
    }

    fn command(&self) -> String {
        let default = LogSettings::default();
        let bootstrap = match self.bootstrap.rsplit_once(':') {
            Some(("127.0.0.1" | "localhost", "9092")) => String::new(),
            _ => format!(" --bootstrap {}", self.bootstrap),
        };
        let database = match self.settings.database == default.database {
            true => String::new(),
            false => format!(" --database {}", self.settings.database),
        };
        format!("kluster sql{bootstrap}{database} \"create table person(id integer primary key, name varchar(40))\"")
    }

    fn topic(&self) -> String {
        self.settings.names().name(kluster_protocol::Topic::All)
    }
}

/// A file below the working directory as a person would type it; anything else as it is.
fn from_here(at: &str) -> &str {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| at.strip_prefix(here.to_str()?)?.strip_prefix('/'));
    below.unwrap_or(at)
}

/// What is promised and what is not.
pub(crate) const DURABLE: &str = "What is acknowledged is on this machine's disk. It is not highly available: for that, the same nodes run on Apache Kafka.";

const REQUEST: &str = r#"{"messageId":"1","clientId":"me","sqlString":"select 1"}"#;

/// The one line for machines.
pub(crate) fn ready_line(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
