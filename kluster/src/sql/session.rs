//! Session: one person's or script's conversation with a cluster: texts in, statement by statement to the cluster, rows and words out.
//!
//! Neighbours: the prompt and the one-shot client hand texts in; `script` cuts them, `judge` tells what each statement asks for. What a transaction
//! gathers is kept by `transaction`; `exchange` sends through `ask` and shows what came back.
//!
//! Invariants
//! 1. Statements are sent in their order, each when the one before is answered.
//! 2. Between BEGIN and COMMIT nothing is sent; COMMIT sends it all as one request.
//! 3. What was left open keeps its ticket until it is asked again or another request is left open.

mod exchange;
mod transaction;

use super::cluster::Cluster;
use super::judge::{Asks, Toward, judge};
use super::screen::Screen;
use super::script::{What, cut};
use super::settings::{Form, Settings};
use super::ticket::OpenRequest;
use super::trouble::{Kind, Trouble};
use crate::signals::Signals;
use kluster_admin::output::Tone;
use kluster_client::Ticket;
use std::io;
use tokio::time::Instant;
use transaction::Gathered;

/// One conversation.
pub struct Session {
    /// Whom it talks to.
    pub cluster: Cluster,
    /// How it asks and shows.
    pub settings: Settings,
    /// Where its words go.
    pub screen: Screen,
    /// What ends a wait.
    pub signals: Signals,
    /// How often Ctrl-C had been pressed when the text was handed in: once more ends it.
    pub interrupts: u64,
    /// A person types: mistakes are shown and the conversation goes on.
    pub at_prompt: bool,
    /// Statements behind one that failed are sent all the same.
    pub go_on: bool,
    /// What was sent and not answered.
    pub open: Option<OpenRequest>,
    /// The ticket of an earlier attempt of the first request that writes.
    pub earlier: Option<Ticket>,
    /// Tables or columns may be others than before.
    pub redefined: bool,
    /// How many files are being run, one within another.
    pub(super) depth: usize,
    gathered: Option<Gathered>,
    statements: u64,
    failures: Failures,
}

/// A statement and where it stands.
#[derive(Debug, Clone)]
struct Statement {
    text: String,
    line: usize,
    defines: bool,
}

/// What went wrong while going on.
#[derive(Debug, Default)]
struct Failures {
    count: usize,
    first: Option<Kind>,
}

/// Whether the conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    On,
    /// It was asked to end.
    Leave,
}

impl Session {
    /// A conversation that has not begun.
    pub fn new(cluster: Cluster, settings: Settings, screen: Screen, signals: Signals) -> Self {
        Self {
            cluster,
            settings,
            screen,
            interrupts: signals.interrupts(),
            signals,
            at_prompt: false,
            go_on: false,
            open: None,
            earlier: None,
            redefined: false,
            depth: 0,
            gathered: None,
            statements: 0,
            failures: Failures::default(),
        }
    }

    /// How many statements are gathered; None: nothing is.
    pub fn gathering(&self) -> Option<usize> {
        self.gathered.as_ref().map(|gathered| gathered.statements.len())
    }

    /// Runs a text. The first trouble ends it, unless the conversation goes on behind mistakes.
    pub async fn run(&mut self, text: &str) -> Result<Flow, Trouble> {
        for part in cut(text, self.cluster.dialect)? {
            if self.signals.interrupts() > self.interrupts || self.signals.terminated().is_cancelled() {
                let why = format!("ended by hand: line {} and what stands behind it was not sent", part.line);
                return Err(Trouble::new(Kind::Interrupted, why));
            }
            let done = match part.what {
                What::Statement(sql) => self.told(sql, part.line).await.map(|()| Flow::On),
                What::Command(line) => Box::pin(self.command(line)).await,
                What::Passed(text, why) => self.passed(text, why).map(|()| Flow::On),
            };
            match done {
                Ok(Flow::On) => {}
                Ok(Flow::Leave) => return Ok(Flow::Leave),
                Err(trouble) => self.failed(trouble)?,
            }
        }
        Ok(Flow::On)
    }

    /// How it went: an error where something failed though the conversation went on.
    pub fn end(&mut self) -> Result<(), Trouble> {
        if let Some(gathered) = self.gathered.take() {
            let count = kluster_admin::show::count(gathered.statements.len(), "statement");
            return Err(Trouble::new(
                Kind::Refused,
                format!("begin without commit: {count} gathered, nothing of it was sent"),
            ));
        }
        match self.failures.first {
            Some(kind) => {
                let (failed, all) = (self.failures.count, self.statements);
                Err(Trouble::new(
                    kind,
                    format!("{failed} of {} failed, see above", kluster_admin::show::count(all as usize, "statement")),
                ))
            }
            None => Ok(()),
        }
    }

    /// What is left over when a person leaves.
    pub fn left_over(&self) -> Option<String> {
        let count = self.gathering().filter(|count| *count > 0)?;
        Some(format!("{} gathered since begin, not sent", kluster_admin::show::count(count, "statement")))
    }

    /// Ends when the wait is ended by hand.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let (signals, before) = (self.signals.clone(), self.interrupts);
        async move { signals.ended_since(before).await }
    }

    fn failed(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        let ends = matches!(trouble.kind, Kind::Log | Kind::Differ | Kind::Interrupted | Kind::Output);
        if !self.go_on || ends {
            return Err(trouble);
        }
        self.failures.count += 1;
        self.failures.first.get_or_insert(trouble.kind);
        self.screen.note(&trouble.text(), Tone::Bad).map_err(output)
    }

    fn passed(&mut self, text: &str, why: &str) -> Result<(), Trouble> {
        let shown = kluster_admin::show::one_line(text, 60);
        self.screen.note(&format!("not sent: {shown} ({why})"), Tone::Faint).map_err(output)
    }

    /// Does what a statement asks for; a failure is a document too, where documents are wanted.
    async fn told(&mut self, sql: &str, line: usize) -> Result<(), Trouble> {
        let begun = Instant::now();
        let done = self.statement(sql, line).await;
        match &done {
            Err(trouble) => self.tell_failure(trouble, begun.elapsed()).and(done),
            Ok(()) => done,
        }
    }

    async fn statement(&mut self, sql: &str, line: usize) -> Result<(), Trouble> {
        let toward = match self.gathered {
            Some(_) => Toward::Transaction,
            None => Toward::Alone(self.settings.read),
        };
        let asks = match judge(self.cluster.dialect, sql, toward) {
            Ok(asks) => asks,
            Err(trouble) => return Err(self.refused_here(trouble, sql, line)),
        };
        let statement = |defines| Statement { text: sql.to_owned(), line, defines };
        match (asks, &mut self.gathered) {
            (Asks::Begin, _) => self.begin(),
            (Asks::Commit, _) => self.commit().await,
            (Asks::Rollback, _) => self.rollback(),
            (Asks::Read, Some(gathered)) => {
                gathered.statements.push(statement(false));
                Ok(())
            }
            (Asks::Write { defines }, Some(gathered)) => {
                gathered.statements.push(statement(defines));
                Ok(())
            }
            (Asks::Read, None) => self.read(statement(false)).await,
            (Asks::Write { defines }, None) => self.write(vec![statement(defines)], false).await,
        }
    }

    /// Somebody wants to know what became of each statement. A JSON document says it by itself.
    fn talks(&self) -> bool {
        let wanted = self.at_prompt || self.screen.shows_notes || self.settings.timing;
        wanted && (self.at_prompt || self.settings.form != Form::Json)
    }

    pub(super) fn say(&mut self, text: &str) -> Result<(), Trouble> {
        match self.talks() {
            true => self.screen.note(text, Tone::Faint).map_err(output),
            false => Ok(()),
        }
    }

    pub(super) fn next_statement(&mut self) {
        self.statements += 1;
    }
}

/// The output cannot be written.
pub(super) fn output(error: io::Error) -> Trouble {
    let pipe = error.kind() == io::ErrorKind::BrokenPipe;
    Trouble::new(Kind::Output, error.to_string()).with(|facts| facts.broken_pipe = pipe)
}
