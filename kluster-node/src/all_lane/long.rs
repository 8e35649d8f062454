//! Long: a batch that has been executing for some seconds is shown in heartbeats and reported, so that a person may end it.
//!
//! Neighbours: `apply` executes batches; `kluster-admin cancel` ends one on all nodes alike. Nothing is decided here: no time limit holds in ALL.

use crate::fault::Cause;
use crate::plan::Plan;
use crate::report::{Lasting, Reporter};
use crate::status::Status;
use kluster_protocol::{ErrorClass, Offset, Running};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// From here on heartbeats show it.
const SHOWN: Duration = Lasting::WORTH_REPORTING;
/// It is reported again after so long; and where it is to be ended, it is looked at this often.
const AGAIN: Duration = Lasting::REMIND;

/// How long a batch has been executing.
pub(super) struct Long {
    first: Option<(Offset, String)>,
    last: Option<Offset>,
    began: Instant,
    since_ms: u64,
    due: Instant,
}

impl Long {
    /// A batch that begins to execute now.
    pub fn new(plan: &Plan, reporter: &Reporter) -> Self {
        let began = Instant::now();
        Self {
            first: plan.first_work(),
            last: plan.last_work(),
            began,
            since_ms: reporter.now_ms(),
            due: began + SHOWN,
        }
    }

    /// Waits until there is something to say. Cancel-safe.
    pub async fn next(&self) {
        sleep_until(self.due).await;
    }

    /// Says that it still executes.
    pub async fn say(&mut self, status: &Status, reporter: &Reporter) {
        self.due = Instant::now() + AGAIN;
        let Some((offset, request_id)) = self.first.clone() else { return };
        let through = self.last.filter(|last| *last != offset);
        let seconds = self.began.elapsed().as_secs();
        let what =
            through.map_or_else(String::new, |through| format!(" or one of the requests up to offset {through}"));
        let message = format!(
            "this request{what} has been executing for {seconds} s, and what follows waits; kluster-admin cancel {offset} ends it on all nodes"
        );
        status.runs(Some(Running { offset, through, request_id: request_id.clone(), since_ms: self.since_ms }));
        let cause = Cause::new("long_running", message);
        reporter.say(ErrorClass::Alarm, Some((offset, request_id)), &cause, Some(self.since_ms)).await;
    }
}
