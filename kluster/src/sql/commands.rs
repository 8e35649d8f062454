//! Commands: what a session does when a backslash command comes.

use super::ask::Reply;
use super::catalog::{self, About, Question};
use super::command::{self, Command};
use super::session::{Flow, Session, output};
use super::trouble::{Kind, Trouble};
use kluster_admin::error::AdminError;
use kluster_admin::output::{Format, Output, Tone};
use kluster_admin::status::Status;
use std::path::Path;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Files may run files so deep.
const DEPTH: usize = 16;

impl Session {
    /// Does what a command line says.
    pub(super) async fn command(&mut self, line: &str) -> Result<Flow, Trouble> {
        match command::parse(line)? {
            Command::Quit => return Ok(Flow::Leave),
            Command::Help => self.screen.line(&command::help()).map_err(output)?,
            Command::Relations => self.list(About::Relations).await?,
            Command::Tables => self.list(About::Tables).await?,
            Command::Views => self.list(About::Views).await?,
            Command::Indexes => self.list(About::Indexes).await?,
            Command::Describe(table) => self.describe(&table).await?,
            Command::Nodes => self.nodes().await?,
            Command::Settings => self.screen.line(&self.listing()).map_err(output)?,
            Command::Read(level) => self.settings.read = level,
            Command::Ack(level) => self.settings.ack = level,
            Command::Output(form) => self.settings.form = form,
            Command::Expanded(switch) => {
                self.settings.expanded = switch.unwrap_or(!self.settings.expanded);
                self.say(if self.settings.expanded { "one column a line" } else { "one row a line" })?;
            }
            Command::Timing(switch) => {
                self.settings.timing = switch.unwrap_or(!self.settings.timing);
                self.say(if self.settings.timing { "timing is on" } else { "timing is off" })?;
            }
            Command::Include(file) => return self.include(&file).await,
            Command::Out(file) => self.redirect(file.as_deref())?,
            Command::Retry => self.retry().await?,
        }
        Ok(Flow::On)
    }

    async fn list(&mut self, about: About) -> Result<(), Trouble> {
        let question = Question { title: "", sql: catalog::list(self.cluster.dialect, about) };
        match self.question(question, None).await? {
            0 => self.say("there are none"),
            _ => Ok(()),
        }
    }

    async fn describe(&mut self, table: &str) -> Result<(), Trouble> {
        let dialect = self.cluster.dialect;
        let name = catalog::named(dialect, table);
        for (number, question) in catalog::describe(dialect).iter().enumerate() {
            let rows = self.question(*question, Some(&name)).await?;
            if number == 0 && rows == 0 {
                return Err(Trouble::new(Kind::Refused, format!("there is no table or view {table}"))
                    .hinted("\\d lists those there are"));
            }
        }
        Ok(())
    }

    /// Asks the catalog and shows what it says, if anything; how many rows that were.
    async fn question(&mut self, question: Question, name: Option<&(String, String)>) -> Result<usize, Trouble> {
        let query = self.cluster.client.query(question.sql).session().timeout(self.settings.timeout);
        let query = match name {
            Some((schema, name)) => query.bind(name.as_str()).bind(schema.as_str()),
            None => query,
        };
        let begun = Instant::now();
        let read = tokio::select! {
            biased;
            () = self.ended() => return Err(Trouble::interrupted(None)),
            read = query.rows() => read?,
        };
        let count = read.rows.len();
        if count == 0 {
            return Ok(0);
        }
        if !question.title.is_empty() {
            self.say(question.title)?;
        }
        self.next_statement();
        let reply = Reply::Read(read);
        self.show_rows(&reply, reply.results().first(), begun.elapsed())?;
        Ok(count)
    }

    async fn nodes(&mut self) -> Result<(), Trouble> {
        let (log, clock) = (self.cluster.log.clone(), self.cluster.clock.clone());
        let format = match self.settings.form {
            super::settings::Form::Json => Format::Json,
            _ => Format::Table,
        };
        let colour = self.screen.look().colour;
        let (signals, interrupts) = (self.signals.clone(), self.interrupts);
        let (data, notes) = self.screen.both();
        let mut out = Output::new(format, data, notes);
        out.colour = colour;
        let status = Status { watch: false };
        let stop = CancellationToken::new();
        let seen = tokio::select! {
            biased;
            () = signals.ended_since(interrupts) => return Err(Trouble::interrupted(None)),
            seen = status.run(&log, &clock, &mut out, &stop) => seen,
        };
        match seen {
            // The table has said it.
            Ok(()) | Err(AdminError::Finding(_) | AdminError::Differ(_)) => Ok(()),
            Err(AdminError::Output(error)) => Err(output(error)),
            Err(error) => Err(Trouble::new(Kind::Log, error.to_string())),
        }
    }

    fn listing(&self) -> String {
        let settings = &self.settings;
        let switch = |on| if on { "on" } else { "off" };
        let entries = [
            ("\\read", settings.read.to_string()),
            ("\\ack", settings.ack.to_string()),
            ("\\output", settings.form.to_string()),
            ("\\x", switch(settings.expanded).to_owned()),
            ("\\timing", switch(settings.timing).to_owned()),
            ("--timeout", format!("{} s", settings.timeout.as_secs())),
            ("--continue", switch(self.go_on).to_owned()),
            ("database", format!("{} ({})", self.cluster.log.names().database, self.cluster.dialect.name())),
            ("client id", self.cluster.client.id().to_string()),
            ("seen", self.cluster.client.seen().map_or("nothing yet".to_owned(), |offset| format!("offset {offset}"))),
            ("open", self.open.as_ref().map_or("nothing".to_owned(), |open| open.sent.to_string())),
        ];
        entries.map(|(name, value)| format!("{name:<11} {value}")).join("\n")
    }

    async fn include(&mut self, file: &Path) -> Result<Flow, Trouble> {
        if self.depth >= DEPTH {
            let why = format!("\\i {}: files run files {DEPTH} deep already: does one run itself?", file.display());
            return Err(Trouble::new(Kind::Refused, why));
        }
        let text = read_script(file)?;
        self.depth += 1;
        let done = self.run(&text).await;
        self.depth -= 1;
        done.map_err(|trouble| trouble.with(|facts| facts.message = format!("{}: {}", file.display(), facts.message)))
    }

    fn redirect(&mut self, file: Option<&Path>) -> Result<(), Trouble> {
        let shown = file.map(|file| file.display().to_string()).unwrap_or_default();
        self.screen.redirect(file).map_err(|error| Trouble::new(Kind::Settings, format!("\\o {shown}: {error}")))?;
        match file {
            Some(_) => self.screen.note(&format!("rows go to {shown}"), Tone::Faint).map_err(output),
            None => Ok(()),
        }
    }
}

/// The text of a script.
pub(super) fn read_script(file: &Path) -> Result<String, Trouble> {
    kluster_admin::load::read(file).map_err(|error| Trouble::new(Kind::Settings, error.to_string()))
}
