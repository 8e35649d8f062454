//! Flight: sends statements in the order of the script, many before their answers are there, and keeps count of what landed.

use super::earlier::Earlier;
use super::progress::Progress;
use super::script::{Script, Statement};
use crate::error::AdminError;
use crate::output::Output;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use kluster_client::{Ack, Client, ClientError, Done};
use kluster_protocol::{MessageId, Offset};
use std::collections::BTreeMap;
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;

/// Statements in flight have at most this many bytes together, unless one alone has more.
const MAX_BYTES: usize = 64 << 20;

/// Sends one statement.
pub(super) struct Sender {
    pub(super) client: Client,
    pub(super) ack: Ack,
    pub(super) load_id: String,
}

/// Statements under way.
pub(super) struct Flight {
    sender: Sender,
    limit: usize,
    flying: FuturesUnordered<BoxFuture<'static, Answer>>,
    bytes: usize,
    landed: Landed,
    progress: Progress,
}

/// What became of a statement.
struct Answer {
    number: usize,
    bytes: usize,
    result: Result<Done, ClientError>,
}

/// What landed so far.
#[derive(Debug, Default)]
pub(super) struct Landed {
    /// Executed by a request of this run.
    pub(super) executed: u64,
    /// In the log before this run, and executed.
    pub(super) before: u64,
    /// The lowest and the highest offset that answered, of all that were executed.
    pub(super) offsets: Option<(Offset, Offset)>,
    /// What went wrong, by the statement's number.
    pub(super) failed: BTreeMap<usize, ClientError>,
    /// Those executed though a statement before them went wrong, or may have: known when all have landed.
    pub(super) done: Vec<usize>,
    /// Told to stop.
    pub(super) stopped: bool,
}

impl Flight {
    pub(super) fn new(sender: Sender, limit: usize, progress: Progress) -> Self {
        Self { sender, limit, flying: FuturesUnordered::new(), bytes: 0, landed: Landed::default(), progress }
    }

    pub(super) fn landed(self) -> Landed {
        self.landed
    }

    /// Sends the script and awaits every answer. Ends early after a failure, or when told to stop; what is in flight then is awaited.
    pub(super) async fn send_all(
        &mut self,
        script: &Script<'_>,
        earlier: &Earlier,
        output: &mut Output<'_>,
        stop: &CancellationToken,
    ) -> Result<(), AdminError> {
        let forgotten = earlier.forgotten_before();
        self.landed.before = forgotten.min(script.statements.len()) as u64;
        for (number, statement) in script.statements.iter().enumerate().skip(forgotten) {
            while !self.has_room_for(statement) {
                self.land(earlier, output).await?;
            }
            // Looked at after the wait: nothing is sent behind a failure that is known.
            self.landed.stopped = stop.is_cancelled();
            if self.landed.stopped || !self.landed.failed.is_empty() {
                break;
            }
            self.send(number, statement, earlier).await;
            while statement.alone && !self.flying.is_empty() {
                self.land(earlier, output).await?;
            }
        }
        while !self.flying.is_empty() {
            self.land(earlier, output).await?;
        }
        self.progress.end();
        Ok(())
    }

    fn has_room_for(&self, statement: &Statement<'_>) -> bool {
        let fits = self.flying.len() < self.limit && self.bytes + statement.text.len() <= MAX_BYTES && !statement.alone;
        fits || self.flying.is_empty()
    }

    /// Hands the statement to the log: the first poll of a request does so, and without waiting, for its id and `sinceOffset` are given.
    async fn send(&mut self, number: usize, statement: &Statement<'_>, earlier: &Earlier) {
        let id = MessageId::new(format!("{}{number}", self.sender.load_id));
        let mut request = self.sender.client.execute(statement.text).message_id(id);
        // A first attempt lies behind everything that was answered before it.
        let since = earlier.of(number).unwrap_or(self.landed.offsets.map(|(_, newest)| newest));
        if let Some(since) = since {
            request = request.since_offset(since);
        }
        let (ack, bytes) = (self.sender.ack, statement.text.len());
        // Unconstrained, lest Tokio's budget of the task makes the first poll do nothing, and the next statement overtake this one.
        let answer = unconstrained(async move { Answer { number, bytes, result: request.answered_by(ack).await } });
        let mut answer = answer.boxed();
        self.bytes += bytes;
        match futures_util::poll!(&mut answer) {
            std::task::Poll::Pending => self.flying.push(answer),
            std::task::Poll::Ready(answer) => self.flying.push(std::future::ready(answer).boxed()),
        }
    }

    async fn land(&mut self, earlier: &Earlier, output: &mut Output<'_>) -> Result<(), AdminError> {
        let Some(Answer { number, bytes, result }) = self.flying.next().await else { return Ok(()) };
        self.bytes -= bytes;
        match result {
            Ok(done) => self.landed.done(number, done.offset, earlier.of(number).is_some()),
            // It took effect; what it returned is of no interest here.
            Err(ClientError::ResultTooLarge { .. }) => self.landed.done(number, None, earlier.of(number).is_some()),
            Err(error) => drop(self.landed.failed.insert(number, error)),
        }
        self.progress.at((self.landed.executed + self.landed.before) as usize, output)
    }
}

impl Landed {
    fn done(&mut self, number: usize, offset: Option<Offset>, before: bool) {
        match before {
            true => self.before += 1,
            false => self.executed += 1,
        }
        if let Some(offset) = offset {
            let (first, last) = self.offsets.unwrap_or((offset, offset));
            self.offsets = Some((first.min(offset), last.max(offset)));
        }
        self.done.push(number);
    }
}
