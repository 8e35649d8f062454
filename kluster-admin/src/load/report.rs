//! Report: what a load did, and if it did not do all, why and what to do next.

use super::flight::Landed;
use super::script::{Passed, Script};
use crate::error::AdminError;
use crate::output::{Output, Tone};
use crate::show;
use kluster_client::{ClientError, ErrorCode, Outcome};
use serde_json::{Value, json};
use std::time::Duration;

/// So many characters of a refused statement are shown.
const SHOWN: usize = 200;
/// So many lines of statements behind a refused one are named.
const LINES: usize = 20;

/// Says what is not sent, before anything is.
pub(super) fn tell_passed(script: &Script<'_>, output: &mut Output) -> Result<(), AdminError> {
    for Passed { line, text, why } in &script.passed {
        output.note(&format!("{}:{line}: passed over: {text} ({why})", script.name))?;
    }
    Ok(())
}

/// What a load did.
pub(super) struct Report<'a> {
    script: &'a Script<'a>,
    landed: Landed,
    took: Duration,
}

impl<'a> Report<'a> {
    pub(super) fn of(script: &'a Script<'a>, landed: Landed, took: Duration) -> Self {
        Self { script, landed, took }
    }

    /// Tells it; an error unless all is done.
    pub(super) fn tell(self, output: &mut Output) -> Result<(), AdminError> {
        match output.is_json() {
            true => output.json(&self.json())?,
            false => {
                let tone = if self.is_whole() { Tone::Good } else { Tone::Warning };
                output.line(&self.line(), tone)?;
            }
        }
        match self.landed.failed.iter().next() {
            Some((number, error)) => Err(self.failure(*number, error)),
            None if self.is_whole() => Ok(()),
            None => Err(AdminError::Open(format!("{}: stopped; go on with --resume", self.script.name))),
        }
    }

    fn done(&self) -> u64 {
        self.landed.executed + self.landed.before
    }

    fn is_whole(&self) -> bool {
        self.landed.failed.is_empty() && self.done() == self.script.statements.len() as u64
    }

    fn line(&self) -> String {
        let total = show::count(self.script.statements.len(), "statement");
        let mut line = format!("{}: {} of {total} executed", self.script.name, self.done());
        if self.landed.before > 0 {
            line.push_str(&format!(", {} of them before", self.landed.before));
        }
        if let Some((first, last)) = self.landed.offsets {
            line.push_str(&format!(", offsets {first} to {last}"));
        }
        line.push_str(&format!(", {:.1} s", self.took.as_secs_f64()));
        line
    }

    fn json(&self) -> Value {
        let passed = self
            .script
            .passed
            .iter()
            .map(|passed| json!({"line": passed.line, "text": passed.text, "why": passed.why}));
        let failed = self.landed.failed.iter().next().map(|(number, error)| {
            let code = match error {
                ClientError::Refused { error, .. } => Some(error.code),
                _ => None,
            };
            json!({"line": self.script.statements[*number].line, "statement": number, "code": code, "message": error.to_string()})
        });
        json!({
            "file": self.script.name,
            "statements": self.script.statements.len(),
            "executed": self.landed.executed,
            "executedBefore": self.landed.before,
            "firstOffset": self.landed.offsets.map(|(first, _)| first),
            "lastOffset": self.landed.offsets.map(|(_, last)| last),
            "seconds": self.took.as_secs_f64(),
            "passedOver": passed.collect::<Vec<_>>(),
            "failed": failed,
            "stopped": self.landed.stopped,
        })
    }

    fn failure(&self, number: usize, error: &ClientError) -> AdminError {
        let statement = &self.script.statements[number];
        let shown = show::one_line(statement.text, SHOWN);
        let place = format!("{}:{}", self.script.name, statement.line);
        match error {
            ClientError::Refused { error: refusal, .. } => {
                let next = match refusal.code {
                    ErrorCode::Expired => {
                        "Its outcome is forgotten: look whether it was executed, and begin at that line or the next"
                            .to_owned()
                    }
                    _ => format!("Mend the script or the data and begin there with --from-line {}", statement.line),
                };
                AdminError::Refused(format!("{place}: {error}\n  {shown}\n{}{next}", self.behind(number)))
            }
            ClientError::Diverged { .. } => AdminError::Differ(format!("{place}: {error}\n  {shown}")),
            ClientError::Log { source, outcome: Outcome::NoEffect, .. } => AdminError::Log(source.clone()),
            ClientError::Invalid(why) => {
                AdminError::Refused(format!("{place}: {why}\n  {shown}\n{}", self.behind(number)))
            }
            _ => AdminError::Open(format!(
                "{place}: {error}\n  {shown}\nGo on with --resume; kluster-admin status shows whether the nodes are there"
            )),
        }
    }

    /// Those that had been sent behind the failed one, and what became of them.
    fn behind(&self, number: usize) -> String {
        let mut lines: Vec<usize> = self
            .landed
            .done
            .iter()
            .filter(|done| **done > number)
            .map(|done| self.script.statements[*done].line)
            .collect();
        lines.sort_unstable();
        let refused = self.landed.failed.len() - 1;
        let mut text = match lines.len() {
            0 => String::new(),
            count => {
                let named: Vec<String> = lines.iter().take(LINES).map(usize::to_string).collect();
                let more = if count > LINES { ", …" } else { "" };
                format!(
                    "Sent before its answer was there, and executed all the same: {}, at lines {}{more}. Leave them out when you go on\n",
                    show::count(count, "statement"),
                    named.join(", ")
                )
            }
        };
        if refused > 0 {
            text.push_str(&format!(
                "{} behind it were refused too, or not answered\n",
                show::count(refused, "statement")
            ));
        }
        text
    }
}
