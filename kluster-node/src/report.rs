//! Report: what a halting or degraded node says on ERRORS and in its own log.
//!
//! Neighbours: the lanes report; operators read. It never holds secrets or the text of SQL, for no fault does.

use crate::fault::Cause;
use kluster_log::{Log, NewRecord};
use kluster_protocol::{ErrorClass, NodeId, Offset, SystemError, Topic};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Milliseconds since 1970 by some clock: the machine's, or a simulation's.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// So long a report waits for the log; behind that it may still arrive, and who reports goes on.
const TAKEN_WITHIN: Duration = Duration::from_secs(2);

/// Where reports go. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    log: Log,
    node: NodeId,
    clock: Clock,
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reporter({})", self.node)
    }
}

impl Reporter {
    /// Reports of `node`.
    pub fn new(log: Log, node: NodeId, clock: Clock) -> Self {
        Self { log, node, clock }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// Says what is wrong, and has been since `since_ms`; none: just now. Where the log does not take it, the node's own log has it. Whether the log
    /// has taken it.
    pub async fn say(
        &self,
        class: ErrorClass,
        at: Option<(Offset, String)>,
        cause: &Cause,
        since_ms: Option<u64>,
    ) -> bool {
        let (offset, request_id) = at.unzip();
        let request_id = request_id.filter(|id| !id.is_empty());
        tracing::error!(node = %self.node, ?class, ?offset, request_id, code = cause.code, "{}", cause.message);
        let error = SystemError {
            node_id: self.node.clone(),
            class,
            offset,
            request_id,
            code: Some(cause.code.clone()),
            message: cause.message.clone(),
            since_ms: since_ms.unwrap_or_else(|| self.now_ms()),
        };
        let record = NewRecord::of(serde_json::to_vec(&error).expect("a report can be written as JSON"))
            .keyed(self.node.to_string());
        match tokio::time::timeout(TAKEN_WITHIN, self.log.append(Topic::Errors, None, record)).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the report could not be sent to ERRORS");
                false
            }
            Err(_) => {
                tracing::warn!("the report has not reached ERRORS yet");
                false
            }
        }
    }
}

/// A trouble that lasts: since when, and whether it is time to report it: after 5 s, and then each minute.
#[derive(Debug, Default)]
pub struct Lasting(Option<Spell>);

#[derive(Debug)]
struct Spell {
    began: Instant,
    since_ms: u64,
    said: Option<Instant>,
    /// The cause, while the log has not taken a report of it.
    unheard: Option<Cause>,
}

impl Lasting {
    /// A trouble that lasts so long is reported.
    pub const WORTH_REPORTING: Duration = Duration::from_secs(5);
    /// It is reported again after so long, if nothing changes.
    pub const REMIND: Duration = Duration::from_secs(60);

    /// It is there, and began so long ago where that was not known before. Since when, in milliseconds since 1970.
    pub fn goes_on(&mut self, reporter: &Reporter, ago: Duration) -> u64 {
        let spell = self.0.get_or_insert_with(|| Spell {
            began: Instant::now().checked_sub(ago).unwrap_or_else(Instant::now),
            since_ms: reporter.now_ms().saturating_sub(ago.as_millis() as u64),
            said: None,
            unheard: None,
        });
        spell.since_ms
    }

    /// For how long it has been there; none: it is not there.
    pub fn lasted(&self) -> Option<Duration> {
        self.0.as_ref().map(|spell| spell.began.elapsed())
    }

    /// Reports it, if it is time: it has lasted, with the `pause` that follows, for 5 s, and was not reported in the last minute.
    pub async fn report(
        &mut self,
        reporter: &Reporter,
        class: ErrorClass,
        at: Option<(Offset, String)>,
        cause: &Cause,
        pause: Duration,
    ) {
        let Some(spell) = &mut self.0 else { return };
        let is_due = match spell.said {
            None => spell.began.elapsed() + pause >= Self::WORTH_REPORTING,
            Some(said) => said.elapsed() >= Self::REMIND,
        };
        if is_due {
            spell.said = Some(Instant::now());
            let heard = reporter.say(class, at, cause, Some(spell.since_ms)).await;
            spell.unheard = (!heard).then(|| cause.clone());
        }
    }

    /// It is over. A report that the log has not taken while it lasted (the log itself was the trouble) is made now.
    pub async fn over(&mut self, reporter: &Reporter) {
        let Some(spell) = self.0.take() else { return };
        let seconds = spell.began.elapsed().as_secs();
        if spell.said.is_some() {
            tracing::info!(seconds, "the trouble is over");
        }
        if let Some(cause) = spell.unheard {
            let cause = Cause::new(cause.code, format!("over after {seconds} s: {}", cause.message));
            reporter.say(ErrorClass::Alarm, None, &cause, Some(spell.since_ms)).await;
        }
    }
}
