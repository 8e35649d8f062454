//! Does again what a crash or a fault left undone: sends answers that may never have left, waits and tries again, connects again, or stops.

use super::{AllLane, Stopped, answers_count, parse};
use crate::answer::{Answers, Outgoing};
use crate::fault::{Cause, Fault};
use crate::retry::{LOCK_WAIT, Retry, Verdict};
use crate::start::{self, Held, LOG_UNREACHABLE};
use kluster_log::Record;
use kluster_protocol::{ErrorClass, NodeState, Offset, Request, Topic};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What follows an unknown fault.
const WAITS: &str = "ALL waits here, and reads go on: where every voter meets the same error the request is refused, else kluster-admin errors shows what to do";

impl AllLane {
    /// Sends again what may never have been answered: every outcome from the group's committed offset on.
    pub(super) async fn answer_again(&mut self, held: &Held) -> Result<(), Fault> {
        if held.fresh {
            return Ok(());
        }
        let group = self.log.names().group_of_all(&self.node);
        let hint = self.log.committed(&group, Topic::All, 0).await.map_err(start::log_fault)?;
        // Outcomes that were not answered are kept, however far the node has come since. Where nobody remembers, those within the window are sent.
        let mut from = hint.unwrap_or_else(|| held.state.floor(held.state.applied));
        while from <= held.state.applied {
            let Some(row) = self.dbms.outcome_rows(from, 1).await?.into_iter().next() else { break };
            let kept = start::kept_rows(row.rows.as_deref())?;
            let mut outgoing = Vec::new();
            for outcome in parse(&row)?.into_iter().filter(|outcome| outcome.offset >= from && answers_count(outcome)) {
                match outcome.repeats {
                    Some(first) => outgoing.extend(self.repeat(first, &outcome, held.window.keeps_rows(first)).await?),
                    None => outgoing.push(Outgoing::stored(
                        &self.node,
                        &outcome,
                        kept.get(&outcome.offset).cloned(),
                        &outcome,
                    )),
                }
            }
            tracing::info!(from = %row.first, to = %row.last, answers = outgoing.len(), "answers that may not have left are sent again");
            let _ = self.answers.send(Answers { outgoing, next: row.last.next() }).await;
            from = row.last.next();
        }
        // Behind the last outcome there may be control records, which nobody is answered.
        let _ = self.answers.send(Answers { outgoing: Vec::new(), next: held.state.applied.next() }).await;
        Ok(())
    }

    /// Does what a fault asks for: wait and go on, or stop.
    pub(super) async fn after(
        &mut self,
        fault: Fault,
        first: Option<&Record>,
        records: usize,
        retry: &mut Retry,
        drain: &CancellationToken,
    ) -> Result<(), Stopped> {
        self.steps.meet(&fault);
        let offset = first.map(|record| record.offset);
        let offset = offset.unwrap_or_else(|| self.status.now().applied.map_or(Offset::ZERO, Offset::next));
        let request_id = first.map(request_id).unwrap_or_default();
        let at = (offset, request_id);
        match retry.judge(fault, records) {
            Verdict::Again(pause, cause) => {
                tracing::warn!(node = %self.node, %offset, %cause, "trying again");
                self.say_trying(retry, &at, &cause, pause).await;
                wait(pause, drain).await;
            }
            Verdict::Recover(cause) => {
                tracing::warn!(node = %self.node, %offset, %cause, "connecting to the database again");
                let since_ms = retry.lasting.goes_on(&self.reporter, Duration::ZERO);
                self.status.is(NodeState::Retrying { since_ms, code: cause.code });
                if let Err(fault) = self.recover(&at, retry, drain).await {
                    return Err(self.stop(ErrorClass::Fatal, at, fault, None).await);
                }
            }
            Verdict::Stop(class, fault) => {
                let since_ms = retry.lasting.lasted().map(|_| retry.lasting.goes_on(&self.reporter, Duration::ZERO));
                return Err(self.stop(class, at, fault, since_ms).await);
            }
        }
        Ok(())
    }

    /// Heartbeats say at once what is worth saying, ERRORS what lasts.
    async fn say_trying(&self, retry: &mut Retry, at: &(Offset, String), cause: &Cause, pause: Duration) {
        let since_ms = retry.lasting.goes_on(&self.reporter, Duration::ZERO);
        let lasted = retry.lasting.lasted().unwrap_or_default();
        // A reader that is opened anew may wait long for its first record.
        let waits = lasted + pause >= Retry::WORTH_SAYING || cause.code == LOG_UNREACHABLE;
        if waits {
            self.status.is(NodeState::Retrying { since_ms, code: cause.code.clone() });
        }
        if cause.code != LOCK_WAIT || !self.waiting.tells(lasted) {
            retry.lasting.report(&self.reporter, ErrorClass::Transient, Some(at.clone()), cause, pause).await;
        }
    }

    /// Says why ALL stops here.
    pub(super) async fn stop(
        &self,
        class: ErrorClass,
        at: (Offset, String),
        fault: Fault,
        since_ms: Option<u64>,
    ) -> Stopped {
        let offset = at.0;
        let cause = match fault {
            Fault::Unknown(ref cause) if !at.1.is_empty() => {
                Cause::new(cause.code.clone(), format!("{}; {WAITS}", cause.message))
            }
            ref fault => fault.cause().clone(),
        };
        self.reporter.say(class, Some(at), &cause, since_ms).await;
        Stopped { offset, fault }
    }

    /// Connects until the database answers; fails where it answers that this node cannot go on, as when a second process holds it.
    async fn recover(
        &mut self,
        at: &(Offset, String),
        retry: &mut Retry,
        drain: &CancellationToken,
    ) -> Result<(), Fault> {
        while !drain.is_cancelled() {
            match self.dbms.recover().await {
                Ok(()) => return Ok(()),
                Err(fault @ Fault::Fatal(_)) => return Err(fault),
                Err(fault) => {
                    tracing::warn!(node = %self.node, cause = %fault.cause(), "the database does not answer yet");
                    let pause = retry.pause();
                    self.say_trying(retry, at, fault.cause(), pause).await;
                    wait(pause, drain).await;
                }
            }
        }
        Ok(())
    }
}

/// What the sender of a record calls it, for people.
pub(super) fn request_id(record: &Record) -> String {
    match Request::parse(record.value.as_deref()) {
        Ok(request) => request.message_id.to_string(),
        Err(bad) => bad.message_id.map_or_else(|| format!("@{}", record.offset), |id| id.to_string()),
    }
}

async fn wait(pause: Duration, drain: &CancellationToken) {
    tokio::select! {
        biased;
        () = drain.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
