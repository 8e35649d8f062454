//! Exchange: statements leave, replies come back and are shown.

use super::{Session, Statement, output};
use crate::sql::ask::{self, Reply, Request};
use crate::sql::settings::{Form, Settings};
use crate::sql::show::{self, Grid};
use crate::sql::status;
use crate::sql::trouble::{Kind, Trouble};
use kluster_admin::output::Tone;
use kluster_client::Rows;
use tokio::time::{Duration, Instant};

impl Session {
    pub(super) async fn read(&mut self, statement: Statement) -> Result<(), Trouble> {
        let begun = Instant::now();
        let reply = ask::read(&self.cluster.client, &self.settings, &statement.text, self.ended()).await;
        match reply {
            Ok(reply) => self.show(&reply, &[statement], false, begun.elapsed()),
            Err(trouble) => Err(self.refused_there(trouble, &[statement])),
        }
    }

    pub(super) async fn write(&mut self, statements: Vec<Statement>, list: bool) -> Result<(), Trouble> {
        let texts = statements.iter().map(|statement| statement.text.clone()).collect();
        let request = Request { statements: texts, list, earlier: self.earlier.take() };
        self.redefined |= statements.iter().any(|statement| statement.defines);
        self.send(request, &statements).await
    }

    async fn send(&mut self, request: Request, statements: &[Statement]) -> Result<(), Trouble> {
        let begun = Instant::now();
        let list = request.list;
        match ask::write(&self.cluster.client, &self.settings, request, self.ended()).await {
            Ok(reply) => self.show(&reply, statements, list, begun.elapsed()),
            Err(unanswered) => {
                let trouble = unanswered.trouble.with_way_out(unanswered.open.as_ref(), self.at_prompt);
                if unanswered.open.is_some() {
                    self.open = unanswered.open;
                }
                Err(self.refused_there(trouble, statements))
            }
        }
    }

    /// Asks again what was left open.
    pub(in crate::sql) async fn retry(&mut self) -> Result<(), Trouble> {
        let Some(open) = self.open.take() else {
            return Err(Trouble::new(Kind::Refused, "\\retry: nothing was left open"));
        };
        self.say(&format!("asking again: request {}", open.sent.ticket.message_id))?;
        let statements: Vec<Statement> =
            open.statements.iter().map(|text| Statement { text: text.clone(), line: 1, defines: true }).collect();
        self.redefined = true;
        let request =
            Request { statements: open.statements.clone(), list: open.list, earlier: Some(open.sent.ticket.clone()) };
        let begun = Instant::now();
        match self.send(request, &statements).await {
            Err(trouble) => self.tell_failure(&trouble, begun.elapsed()).and(Err(trouble)),
            Ok(()) => Ok(()),
        }
    }

    /// A trouble that came back, at its statement. In a transaction the failed statement is named by its number.
    fn refused_there(&self, mut trouble: Trouble, statements: &[Statement]) -> Trouble {
        let index = trouble.statement_index.unwrap_or_default();
        if statements.len() > 1 && trouble.kind == Kind::Refused {
            trouble.message =
                format!("{} (statement {} of the transaction; nothing of it took effect)", trouble.message, index + 1);
        }
        // A person who typed one line sees it above; a place within it, or in a script, is worth showing.
        let worth = trouble.position.is_some() || !self.at_prompt || statements.len() > 1;
        match statements.get(index).filter(|_| worth) {
            Some(statement) => trouble.in_statement(&statement.text, statement.line),
            None => trouble,
        }
    }

    pub(super) fn tell_failure(&mut self, trouble: &Trouble, took: Duration) -> Result<(), Trouble> {
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

    pub(in crate::sql) fn show_rows(
        &mut self,
        reply: &Reply,
        rows: Option<&Rows>,
        took: Duration,
    ) -> Result<(), Trouble> {
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
}
