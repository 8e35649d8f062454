//! load: a script's statements through ALL, many in flight, each executed once however often the load is begun.
//!
//! In the order of the data: the file is cut and judged by the rules that the nodes go by, before anything is sent (`script`) → what an earlier
//! run of this load has put into the log is looked up (`earlier`) → statements are sent and awaited (`flight`), shown by `progress` → `report`.
//!
//! Invariants
//! 1. A statement's messageId is made of the file's content, the dialect, `--from-line` and the statement's number: a load begun again sends
//!    the same ids, so what is in the log already is not executed again.
//! 2. Statements come into the log in the order of the script.
//! 3. After a refusal nothing more is sent. What had been sent behind it, at most `--in-flight`, is awaited and told.

mod earlier;
mod flight;
mod progress;
mod report;
mod script;

use crate::dialect::{dialect_of, parse_dialect};
use crate::error::AdminError;
use crate::nodes::Nodes;
use crate::output::Output;
use earlier::Earlier;
use flight::{Flight, Sender};
use kluster_client::{Ack, Client, Options};
use kluster_log::Log;
use kluster_node::report::Clock;
use kluster_protocol::ClientId;
use kluster_sql::Dialect;
use progress::Progress;
use report::Report;
use script::Script;
pub use script::passed_over;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The manual of the command.
pub const MANUAL: &str = "\
Send a script of SQL statements through ALL.

The script is cut into statements as the DBMS's own tool would. Statements for that tool at its start (DROP and CREATE DATABASE, \\c, USE, SET \
NAMES) are passed over and listed; so are the settings that dump tools write, wherever they stand. Everything else is judged by the rules that \
the nodes go by before anything is sent, and a statement that they would refuse ends the load with its line and why.

Each statement is a transaction of its own. They come into the log in the script's order, many before their answers are there; a statement that \
is not plain DML is awaited alone. When the DBMS refuses one, nothing more is sent; what was in flight behind it may have been executed and is \
told. With --in-flight 1 nothing is ever behind it.

A load that ended early (Ctrl-C, a crash, no answer in time) is gone on with by --resume: every statement is executed once, as long as the cluster \
remembers outcomes (for 2^18 records of ALL, unless its nodes say otherwise). After a refusal mend the script or the data and begin at that line with --from-line, which is a load of its own.";

/// What `load` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Load {
    /// The script
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Send at most this many statements before their answers are there
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = in_flight)]
    pub in_flight: usize,
    /// Go on with an earlier load of this file: what it has put into the log is not executed again
    #[arg(long)]
    pub resume: bool,
    /// Begin with the first statement at or behind this line
    #[arg(long, value_name = "LINE", default_value_t = 1)]
    pub from_line: usize,
    /// Sender of the requests. The same file under another name is another load
    #[arg(long, value_name = "NAME", default_value = "kluster-admin-load")]
    pub client_id: String,
    /// Whose answer a statement waits for
    #[arg(long, value_enum, default_value = "first")]
    pub ack: AckLevel,
    /// Whose SQL the script is written in [default: the nodes' own]
    #[arg(long, value_name = "NAME", value_parser = parse_dialect)]
    pub dialect: Option<Dialect>,
    /// How long a statement may take, those before it in flight included
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
}

/// Whose answer a statement waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AckLevel {
    /// The first voter's
    First,
    /// Equal answers of more than half of the voters
    Quorum,
    /// Equal answers of all voters
    All,
}

impl From<AckLevel> for Ack {
    fn from(level: AckLevel) -> Self {
        match level {
            AckLevel::First => Self::First,
            AckLevel::Quorum => Self::Quorum,
            AckLevel::All => Self::All,
        }
    }
}

fn in_flight(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=10_000) => Ok(count),
        _ => Err("expected a number from 1 to 10000".to_owned()),
    }
}

impl Load {
    /// Sends the script.
    pub async fn run(
        &self,
        log: &Log,
        clock: &Clock,
        output: &mut Output<'_>,
        stop: &CancellationToken,
    ) -> Result<(), AdminError> {
        let text = read(&self.file)?;
        let mut nodes = Nodes::read(log, clock).await?;
        let dialect = match self.dialect {
            Some(dialect) => dialect,
            None => {
                let dialect = dialect_of(&nodes)?;
                nodes.listen().await?;
                check_live(&nodes)?;
                dialect
            }
        };
        let script = Script::cut(&self.file, &text, dialect, self.from_line)?;
        report::tell_passed(&script, output)?;
        let client_id = ClientId::new(self.client_id.clone());
        let earlier = Earlier::look(log, nodes.window(), &client_id, &script.load_id).await?;
        self.check(&script, &earlier)?;
        let options =
            Options { client_id: Some(client_id), timeout: Duration::from_secs(self.timeout), ..Options::default() };
        let client =
            Client::over(log.clone(), options).await.map_err(|error| AdminError::Settings(error.to_string()))?;
        let progress = Progress::begin(&script.name, script.statements.len(), output.progress);
        let sender = Sender { client, ack: self.ack.into(), load_id: script.load_id.clone() };
        let mut flight = Flight::new(sender, self.in_flight, progress);
        let begun = tokio::time::Instant::now();
        flight.send_all(&script, &earlier, output, stop).await?;
        Report::of(&script, flight.landed(), begun.elapsed()).tell(output)
    }

    /// A load that was begun before is gone on with only when asked to, and only when it can be seen how far it came.
    fn check(&self, script: &Script<'_>, earlier: &Earlier) -> Result<(), AdminError> {
        match (earlier.first(), self.resume) {
            (Some(offset), false) => Err(AdminError::Refused(format!(
                "{} of {} statements of {} are in the log already, from offset {offset} on: --resume sends the others; --client-id with another name \
                 loads all of it again",
                earlier.count(),
                script.statements.len(),
                script.name
            ))),
            (None, true) if !earlier.saw_all() => Err(AdminError::Refused(format!(
                "the newest {} records of ALL hold nothing of a load of {} with this --client-id and --from-line, and older ones are not remembered: \
                 if it was surely never begun, load it without --resume",
                earlier.window(),
                script.name
            ))),
            (Some(_), true) | (None, _) => Ok(()),
        }
    }
}

/// The text of a script, which must be UTF-8.
pub fn read(file: &Path) -> Result<String, AdminError> {
    let bytes = std::fs::read(file)
        .map_err(|error| AdminError::Settings(format!("{} cannot be read: {error}", file.display())))?;
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        AdminError::Settings(format!(
            "{}:{line}: not UTF-8: convert the file first, for example with iconv -f LATIN1 -t UTF-8",
            file.display()
        ))
    })
}

/// Without a live node nothing would be answered, and the script would wait in the log.
fn check_live(nodes: &Nodes) -> Result<(), AdminError> {
    match nodes.expected().iter().any(|node| nodes.is_live(node)) {
        true => Ok(()),
        false => Err(AdminError::Refused(
            "no node is live, so nothing would be answered: start one (kluster-admin status shows them); with --dialect it is sent all the same"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests;
