//! Trouble: why a statement has no good answer: what was wrong, where in the text, who says so, and what to do.
//!
//! Neighbours: `judge`, `script` and `ask` make troubles; the session shows them, or ends the program with one ([`KlusterError`]).

mod of_client;

use super::place::Place;
use super::ticket::OpenRequest;
use crate::error::KlusterError;
use kluster_client::{NodeId, Offset, Outcome, Ticket};
use kluster_sql::Refusal;
use serde_json::{Map, Value, json};
use std::io;
use std::ops::{Deref, DerefMut};

/// What a person does next, and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Mend a setting or an input file.
    Settings,
    /// Stop writing: nodes differ.
    Differ,
    /// Look after the log.
    Log,
    /// Mend the statement or the data.
    Refused,
    /// Find out: there was no answer in time.
    Open,
    /// The same, and the wait was ended by hand.
    Interrupted,
    /// Look after the output.
    Output,
}

/// Why a statement has no good answer. In a box, for it is carried through many results.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble(Box<Facts>);

/// What is known about a trouble.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// What a person does next.
    pub kind: Kind,
    /// Kluster's published code, where it is a refusal.
    pub code: Option<String>,
    /// The DBMS's SQLSTATE.
    pub sql_state: Option<String>,
    /// What was wrong, in the DBMS's words or ours.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The character of the statement, from 1, at which it begins.
    pub position: Option<usize>,
    /// Which statement of a transaction, from 0.
    pub statement_index: Option<usize>,
    /// Where it is in what was typed; known once the statement is.
    pub place: Option<Place>,
    /// Who says so; nobody: it was never sent.
    pub nodes: Vec<NodeId>,
    /// The offset of ALL at which it was refused; for a read, what the node had applied.
    pub offset: Option<Offset>,
    /// Names what was sent, where its outcome is open.
    pub ticket: Option<Ticket>,
    /// The reader of the output has seen enough and left.
    pub broken_pipe: bool,
}

impl Deref for Trouble {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl DerefMut for Trouble {
    fn deref_mut(&mut self) -> &mut Facts {
        &mut self.0
    }
}

impl Trouble {
    /// The same with something changed.
    pub fn with(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        change(&mut self.0);
        self
    }

    /// One with nothing but a message.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            kind,
            code: None,
            sql_state: None,
            message: message.into(),
            hint: None,
            position: None,
            statement_index: None,
            place: None,
            nodes: Vec::new(),
            offset: None,
            ticket: None,
            broken_pipe: false,
        }))
    }

    /// One with a published code.
    pub fn of(kind: Kind, code: &str, message: impl Into<String>) -> Self {
        Self::new(kind, message).with(|facts| facts.code = Some(code.to_owned()))
    }

    /// A refusal by Kluster's rules, before anything was sent.
    pub fn by_rule(refusal: &Refusal) -> Self {
        let trouble = Self::of(Kind::Refused, refusal.code.as_str(), refusal.message.clone());
        trouble.hinted(refusal.hint.to_string()).with(|facts| facts.position = refusal.position)
    }

    /// The same with what to do.
    pub fn hinted(self, hint: impl Into<String>) -> Self {
        self.with(|facts| facts.hint = Some(hint.into()))
    }

    /// The same with the place in what was typed; `line` is where the statement begins.
    pub fn in_statement(self, statement: &str, line: usize) -> Self {
        let place = Place::of(statement, self.position, line);
        self.with(|facts| facts.place = Some(place))
    }

    /// For people: what, where, what to do, each on lines of its own.
    pub fn text(&self) -> String {
        let mut text = self.head();
        if let Some(place) = &self.place {
            text.push('\n');
            text.push_str(&place.text());
        }
        if let Some(hint) = &self.hint {
            text.push_str("\n  hint: ");
            text.push_str(hint);
        }
        text
    }

    /// The first line: what was wrong and who says so.
    fn head(&self) -> String {
        let Some(code) = &self.code else { return self.message.clone() };
        let state = self.sql_state.as_ref().map(|state| format!(" (SQLSTATE {state})")).unwrap_or_default();
        let names: Vec<&str> = self.nodes.iter().map(NodeId::as_str).collect();
        let who = match names.as_slice() {
            [] => ", nothing was sent".to_owned(),
            names => format!(" by {}", names.join(", ")),
        };
        let at = self.offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default();
        format!("refused as {code}{state}{who}{at}: {}", self.message)
    }

    /// For programs: the form of `error` in a response, and what is only known here.
    pub fn json(&self) -> Value {
        let mut error = Map::new();
        let mut put = |name: &str, value: Option<Value>| value.map(|value| error.insert(name.to_owned(), value));
        put("code", Some(json!(self.code.as_deref().unwrap_or(self.word()))));
        put("sqlState", self.sql_state.as_ref().map(|state| json!(state)));
        put("message", Some(json!(self.message)));
        put("hint", self.hint.as_ref().map(|hint| json!(hint)));
        put("position", self.position.map(|position| json!(position)));
        put("statementIndex", self.statement_index.map(|index| json!(index)));
        put("line", self.place.as_ref().map(|place| json!(place.line)));
        put("column", self.place.as_ref().and_then(|place| place.column).map(|column| json!(column)));
        put("messageId", self.ticket.as_ref().map(|ticket| json!(ticket.message_id)));
        put("sinceOffset", self.ticket.as_ref().and_then(|ticket| ticket.since_offset).map(|since| json!(since)));
        Value::Object(error)
    }

    /// The code of a trouble that is no refusal.
    fn word(&self) -> &'static str {
        match self.kind {
            Kind::Settings => "settings",
            Kind::Differ => "nodes_differ",
            Kind::Log => "log_unreachable",
            Kind::Refused => "refused",
            Kind::Open => "no_answer",
            Kind::Interrupted => "interrupted",
            Kind::Output => "output",
        }
    }

    /// The error that ends the program.
    pub fn end(self) -> KlusterError {
        let text = self.text();
        match self.kind {
            Kind::Settings => KlusterError::Settings(text),
            Kind::Differ => KlusterError::Differ(text),
            Kind::Log => KlusterError::Log(text),
            Kind::Refused => KlusterError::Refused(text),
            Kind::Open => KlusterError::Open(text),
            Kind::Interrupted => KlusterError::Interrupted(text),
            Kind::Output if self.broken_pipe => KlusterError::Output(io::ErrorKind::BrokenPipe.into()),
            Kind::Output => KlusterError::Output(io::Error::other(text)),
        }
    }
}

impl Trouble {
    /// The wait was ended by hand. `ticket`: what was sent; None: nothing that could have an effect.
    pub fn interrupted(ticket: Option<Ticket>) -> Self {
        let outcome = if ticket.is_some() { Outcome::Open } else { Outcome::NoEffect };
        Self::unanswered("the wait was ended".to_owned(), ticket, outcome)
            .with(|facts| (facts.kind, facts.hint) = (Kind::Interrupted, None))
    }

    /// The same with how to find out what became of the request.
    pub fn with_way_out(self, open: Option<&OpenRequest>, at_prompt: bool) -> Self {
        match open {
            Some(open) if self.ticket.is_some() => {
                let hint = open.way_out(at_prompt);
                self.hinted(hint)
            }
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kluster_client::{ClientError, ErrorCode, ResponseError};

    #[test]
    fn a_refusal_says_what_where_who_and_what_to_do() {
        let error = ResponseError {
            sql_state: Some("42P01".into()),
            position: Some(15),
            ..ResponseError::new(ErrorCode::UndefinedTable, "relation \"persn\" does not exist")
        };
        let refused =
            ClientError::Refused { error, offset: Some(Offset::new(42)), nodes: vec!["n1".into(), "n2".into()] };
        let trouble = Trouble::from(refused).in_statement("select * from persn", 3);
        assert_eq!(
            trouble.text(),
            "refused as undefined_table (SQLSTATE 42P01) by n1, n2 at offset 42: relation \"persn\" does not exist\n  \
             line 3: select * from persn\n                        ^"
        );
        assert_eq!(
            trouble.json(),
            json!({"code": "undefined_table", "sqlState": "42P01", "message": "relation \"persn\" does not exist",
                "position": 15, "line": 3, "column": 15})
        );
        assert_eq!(trouble.end().exit_code(), 5);
    }

    #[test]
    fn a_rule_says_what_to_write_instead() {
        let refusal = kluster_sql::admit(kluster_sql::Dialect::Postgres, "savepoint a").unwrap_err();
        let text = Trouble::by_rule(&refusal).text();
        assert!(text.starts_with("refused as transaction_control, nothing was sent: SAVEPOINT "), "{text}");
        assert!(text.contains("\n  hint: send the statements as `statements`"), "{text}");
    }

    #[test]
    fn an_open_outcome_names_the_request_and_ends_with_6_or_130() {
        let ticket = Ticket { message_id: "m1".into(), since_offset: Some(Offset::new(7)) };
        let timed_out =
            ClientError::TimedOut { ticket: ticket.clone(), outcome: Outcome::Open, answered: vec!["n1".into()] };
        let trouble = Trouble::from(timed_out);
        assert!(
            trouble.text().starts_with("only n1 answered in time; the outcome of request m1 is open"),
            "{trouble:?}"
        );
        assert_eq!(
            (trouble.json()["messageId"].clone(), trouble.json()["sinceOffset"].clone()),
            (json!("m1"), json!(7))
        );
        assert_eq!(trouble.end().exit_code(), 6);
        assert_eq!(Trouble::interrupted(Some(ticket)).end().exit_code(), 130);
        assert!(Trouble::interrupted(None).text().contains("it has no effect"));
    }

    #[test]
    fn every_kind_has_the_exit_code_of_the_page() {
        let page = include_str!("../../../docs/sql.md");
        let kinds =
            [Kind::Settings, Kind::Differ, Kind::Log, Kind::Refused, Kind::Open, Kind::Output, Kind::Interrupted];
        for (kind, code) in kinds.into_iter().zip([2, 3, 4, 5, 6, 7, 130]) {
            assert_eq!(Trouble::new(kind, "x").end().exit_code(), code);
            assert!(page.contains(&format!("\n| {code} | ")), "docs/sql.md lacks {code}");
            assert!(crate::sql::MANUAL.contains(&format!(" {code} ")), "the manual lacks {code}");
        }
    }

    #[test]
    fn a_read_that_times_out_has_no_effect() {
        let ticket = Ticket { message_id: "m1".into(), since_offset: None };
        let error = ClientError::TimedOut { ticket, outcome: Outcome::NoEffect, answered: Vec::new() };
        let trouble = Trouble::from(error);
        assert!(trouble.ticket.is_none() && trouble.text().starts_with("no answer in time; it has no effect"));
    }
}
