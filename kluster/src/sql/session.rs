//! Session: one person's or script's conversation with a cluster: texts in, statement by statement to the cluster, rows and words out.
//!
//! Neighbours: the prompt and the one-shot client hand texts in; `script` cuts them, `judge` tells what each statement asks for, `ask` sends it,
//! `show` and `status` make words of what came back.
//!
//! Invariants
//! 1. Statements are sent in their order, each when the one before is answered.
//! 2. Between BEGIN and COMMIT nothing is sent; COMMIT sends it all as one request.
//! 3. What was left open keeps its ticket until it is asked again or another request is left open.

use super::ask::{self, Reply, Request};
use super::cluster::Cluster;
use super::judge::{Asks, Toward, judge};
use super::screen::Screen;
use super::script::{What, cut};
use super::settings::{Form, Settings};
use super::show::{self, Grid};
use super::status;
use super::ticket::OpenRequest;
use super::trouble::{Kind, Trouble};
use crate::signals::Signals;
use kluster_admin::output::Tone;
use kluster_client::{Rows, Ticket};
use std::io;
use tokio::time::{Duration, Instant};

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

/// What stands between BEGIN and COMMIT.
#[derive(Debug, Default)]
struct Gathered {
    statements: Vec<Statement>,
    /// A statement of a script was refused: without it the rest must not take effect.
    broken: bool,
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
        let interrupts = self.signals.interrupts();
        for part in cut(text, self.cluster.dialect)? {
            if self.signals.interrupts() != interrupts || self.signals.terminated().is_cancelled() {
                let why = format!("ended by hand: line {} and what stands behind it was not sent", part.line);
                return Err(Trouble::new(Kind::Interrupted, why));
            }
            let done = match part.what {
                What::Statement(sql) => self.statement(sql, part.line).await.map(|()| Flow::On),
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

    async fn statement(&mut self, sql: &str, line: usize) -> Result<(), Trouble> {
        let toward = match self.gathered {
            Some(_) => Toward::Transaction,
            None => Toward::Alone(self.settings.read),
        };
        let asks = match judge(self.cluster.dialect, sql, toward) {
            Ok(asks) => asks,
            Err(trouble) => return Err(self.refused_here(trouble, sql, line)?),
        };
        let statement = |defines| Statement { text: sql.to_owned(), line, defines };
        match (asks, &mut self.gathered) {
            (Asks::Begin, None) => self.begin(),
            (Asks::Begin, Some(_)) => {
                Err(Trouble::new(Kind::Refused, "begin: a transaction is being gathered already")
                    .hinted("commit; sends it, rollback; drops it"))
            }
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

    /// A statement that was never sent.
    fn refused_here(&mut self, trouble: Trouble, sql: &str, line: usize) -> Result<Trouble, Trouble> {
        let mut trouble = trouble.in_statement(sql, line);
        if let Some(gathered) = &mut self.gathered {
            gathered.broken |= !self.at_prompt;
            let goes_on = if self.at_prompt { "it is not gathered; what was before it still is" } else { "" };
            let hint = [trouble.hint.take().unwrap_or_default(), goes_on.to_owned()];
            let hint: Vec<String> = hint.into_iter().filter(|part| !part.is_empty()).collect();
            trouble.hint = (!hint.is_empty()).then(|| hint.join("; "));
        }
        self.tell_failure(&trouble, Duration::ZERO)?;
        Ok(trouble)
    }

    fn begin(&mut self) -> Result<(), Trouble> {
        self.gathered = Some(Gathered::default());
        if !self.at_prompt {
            return Ok(());
        }
        let text = "gathering: commit; sends it all as one request, done as a whole or not at all; rollback; drops it.\n\
                    A SELECT here is executed in it, and its rows come with the commit.";
        self.screen.note(text, Tone::Faint).map_err(output)
    }

    async fn commit(&mut self) -> Result<(), Trouble> {
        let Some(gathered) = self.gathered.take() else { return Err(nothing_gathered("commit")) };
        if gathered.broken {
            return Err(Trouble::new(
                Kind::Refused,
                "commit: a statement of this transaction was refused, so nothing of it was sent",
            ));
        }
        match gathered.statements.is_empty() {
            true => self.say("nothing was gathered, nothing was sent"),
            false => self.write(gathered.statements, true).await,
        }
    }

    fn rollback(&mut self) -> Result<(), Trouble> {
        let Some(gathered) = self.gathered.take() else { return Err(nothing_gathered("rollback")) };
        let count = kluster_admin::show::count(gathered.statements.len(), "statement");
        self.say(&format!("{count} dropped, nothing was sent"))
    }

    async fn read(&mut self, statement: Statement) -> Result<(), Trouble> {
        let begun = Instant::now();
        let reply = ask::read(&self.cluster.client, &self.settings, &statement.text, &self.signals).await;
        match reply {
            Ok(reply) => self.show(&reply, &[statement], false, begun.elapsed()),
            Err(trouble) => Err(self.refused_there(trouble, &[statement], begun.elapsed())?),
        }
    }

    async fn write(&mut self, statements: Vec<Statement>, list: bool) -> Result<(), Trouble> {
        let texts = statements.iter().map(|statement| statement.text.clone()).collect();
        let request = Request { statements: texts, list, earlier: self.earlier.take() };
        self.redefined |= statements.iter().any(|statement| statement.defines);
        self.send(request, &statements).await
    }

    async fn send(&mut self, request: Request, statements: &[Statement]) -> Result<(), Trouble> {
        let begun = Instant::now();
        let list = request.list;
        match ask::write(&self.cluster.client, &self.settings, request, &self.signals).await {
            Ok(reply) => self.show(&reply, statements, list, begun.elapsed()),
            Err(unanswered) => {
                let trouble = unanswered.trouble.with_way_out(unanswered.open.as_ref(), self.at_prompt);
                if unanswered.open.is_some() {
                    self.open = unanswered.open;
                }
                Err(self.refused_there(trouble, statements, begun.elapsed())?)
            }
        }
    }

    /// Asks again what was left open.
    pub(super) async fn retry(&mut self) -> Result<(), Trouble> {
        let Some(open) = self.open.take() else {
            return Err(Trouble::new(Kind::Refused, "\\retry: nothing was left open"));
        };
        self.say(&format!("asking again: request {}", open.sent.ticket.message_id))?;
        let statements: Vec<Statement> =
            open.statements.iter().map(|text| Statement { text: text.clone(), line: 1, defines: true }).collect();
        self.redefined = true;
        let request =
            Request { statements: open.statements.clone(), list: open.list, earlier: Some(open.sent.ticket.clone()) };
        self.send(request, &statements).await
    }

    /// A trouble that came back, at its statement. In a transaction the failed statement is named by its number.
    fn refused_there(
        &mut self,
        trouble: Trouble,
        statements: &[Statement],
        took: Duration,
    ) -> Result<Trouble, Trouble> {
        let index = trouble.statement_index.unwrap_or_default();
        let mut trouble = trouble;
        if statements.len() > 1 && trouble.kind == Kind::Refused {
            trouble.message =
                format!("{} (statement {} of the transaction; nothing of it took effect)", trouble.message, index + 1);
        }
        // A person who typed one line sees it above; a place within it, or in a script, is worth showing.
        let worth = trouble.position.is_some() || !self.at_prompt || statements.len() > 1;
        let trouble = match statements.get(index).filter(|_| worth) {
            Some(statement) => trouble.in_statement(&statement.text, statement.line),
            None => trouble,
        };
        self.tell_failure(&trouble, took)?;
        Ok(trouble)
    }

    fn tell_failure(&mut self, trouble: &Trouble, took: Duration) -> Result<(), Trouble> {
        self.statements += 1;
        if self.settings.form != Form::Json {
            return Ok(());
        }
        let document = show::document(self.statements, Err(trouble), took)?;
        self.screen.line(&document.to_string()).map_err(output)
    }

    fn show(&mut self, reply: &Reply, statements: &[Statement], list: bool, took: Duration) -> Result<(), Trouble> {
        for (index, statement) in statements.iter().enumerate() {
            let rows = reply.results().get(index);
            self.statements += 1;
            self.show_rows(reply, rows, took)?;
            if self.talks() {
                let settings = Settings { timing: self.settings.timing && !list, ..self.settings.clone() };
                let line = status::line(reply, rows, statement.defines, &settings, took);
                self.screen.note(&line, Tone::Faint).map_err(output)?;
            }
        }
        match list && self.talks() {
            true => {
                let line = status::committed(reply, &self.settings, took);
                self.screen.note(&line, Tone::Faint).map_err(output)
            }
            false => Ok(()),
        }
    }

    pub(super) fn show_rows(&mut self, reply: &Reply, rows: Option<&Rows>, took: Duration) -> Result<(), Trouble> {
        if self.settings.form == Form::Json {
            let document = show::document(self.statements, Ok((reply, rows)), took)?;
            return self.screen.line(&document.to_string()).map_err(output);
        }
        let Some(rows) = rows else { return Ok(()) };
        let grid = Grid::of(rows)?;
        match grid.has_columns() {
            true => self.screen.rows(&grid, &self.settings).map_err(output),
            false => Ok(()),
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

fn nothing_gathered(word: &str) -> Trouble {
    Trouble::new(Kind::Refused, format!("{word}: no transaction is being gathered"))
        .hinted("every statement by itself is a transaction already; begin; gathers several into one")
}

/// The output cannot be written.
pub(super) fn output(error: io::Error) -> Trouble {
    let pipe = error.kind() == io::ErrorKind::BrokenPipe;
    Trouble::new(Kind::Output, error.to_string()).with(|facts| facts.broken_pipe = pipe)
}
