//! tail: requests, responses, errors and heartbeats as they happen, one line each.
//!
//! In the order of the data: a `source` for each topic → `merged` puts what was there before in the order of its times and passes on what
//! comes → `entry` reads a record as people and scripts want it.

mod entry;
mod merged;

use crate::error::AdminError;
use crate::output::Output;
use crate::source::{Source, Start};
use clap::ValueEnum;
use entry::Entry;
use kluster_log::Log;
use kluster_protocol::{Offset, Topic};
use merged::Merged;
use std::collections::BTreeSet;
use tokio_util::sync::CancellationToken;

/// The manual of the command.
pub const MANUAL: &str = "\
Print requests, responses and errors as they happen, one line each: time, topic, offset in it, who wrote it, the request's id, and what it says.

Records that were there before come in the order of their times. With --output json each line is the record itself. Ctrl-C ends it, or --count, or \
--until-end.";

/// What `tail` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Tail {
    /// What to print [default: requests responses errors]
    #[arg(value_enum, value_name = "WHAT")]
    pub what: Vec<What>,
    /// Where to begin: `end`, `beginning`, or an offset of ALL: from there, with the responses to it and the errors at it; what has no offset of ALL then begins at the end
    #[arg(long, default_value = "end", value_name = "beginning|end|OFFSET", value_parser = parse_from)]
    pub from: From,
    /// End after so many records
    #[arg(long, value_name = "COUNT")]
    pub count: Option<u64>,
    /// End where the topics ended when the command began
    #[arg(long)]
    pub until_end: bool,
}

/// What can be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// ALL and ONE
    Requests,
    /// RESPONSES
    Responses,
    /// ERRORS
    Errors,
    /// NODES: the heartbeats
    Nodes,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The oldest records.
    Beginning,
    /// What comes from now on.
    End,
    /// An offset of ALL.
    Offset(Offset),
}

fn parse_from(text: &str) -> Result<From, String> {
    match text {
        "beginning" => Ok(From::Beginning),
        "end" => Ok(From::End),
        number => number
            .parse()
            .map(|number| From::Offset(Offset::new(number)))
            .map_err(|_| format!("{text:?} is neither beginning, end nor an offset of ALL")),
    }
}

impl What {
    fn topics(self) -> &'static [Topic] {
        match self {
            Self::Requests => &[Topic::All, Topic::One],
            Self::Responses => &[Topic::Responses],
            Self::Errors => &[Topic::Errors],
            Self::Nodes => &[Topic::Nodes],
        }
    }
}

impl From {
    fn in_topic(self, topic: Topic) -> Start {
        match (self, topic) {
            (Self::Beginning, _) | (Self::Offset(_), Topic::Responses | Topic::Errors) => Start::Beginning,
            (Self::Offset(offset), Topic::All) => Start::Place(offset),
            (Self::End, _) | (Self::Offset(_), Topic::One | Topic::Nodes | Topic::Decisions) => Start::End,
        }
    }

    /// Responses and errors can't be found by ALL's offset, so they are sifted.
    fn wants(self, entry: &Entry) -> bool {
        match (self, entry.about()) {
            (Self::Offset(from), Some(about)) => about.is_some_and(|about| about >= from),
            (Self::Beginning | Self::End, _) | (Self::Offset(_), None) => true,
        }
    }
}

impl Tail {
    /// Prints records until told to stop, or until what was asked for is printed.
    pub async fn run(&self, log: &Log, output: &mut Output<'_>, stop: &CancellationToken) -> Result<(), AdminError> {
        let mut sources = Vec::new();
        for topic in self.topics() {
            sources.push(Source::open(log, topic, self.from.in_topic(topic)).await?);
        }
        let mut merged = Merged::of(sources);
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                next = merged.next(!self.until_end) => next?,
            };
            let Some((topic, record)) = next else { return Ok(()) };
            let entry = Entry::of(topic, &record);
            if self.from.wants(&entry) {
                entry.print(output)?;
                left -= 1;
            }
        }
        Ok(())
    }

    fn topics(&self) -> BTreeSet<Topic> {
        let default = [What::Requests, What::Responses, What::Errors];
        let what = if self.what.is_empty() { default.as_slice() } else { self.what.as_slice() };
        what.iter().flat_map(|what| what.topics()).copied().collect()
    }
}

#[cfg(test)]
mod tests;
