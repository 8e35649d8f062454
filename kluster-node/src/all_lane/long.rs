//! Long: a request that has been executing for some seconds is shown in heartbeats and reported, so that a person may end it.
//!
//! Neighbours: `apply` executes batches; `kluster-admin cancel` ends a request on all nodes alike.
//!
//! A batch of several requests that takes so long is ended and executed again request by request, so that the one that takes long has a name. Nothing
//! is decided by that, for where a batch ends decides nothing.

use crate::fault::Cause;
use crate::plan::Plan;
use crate::report::{Lasting, Reporter};
use crate::status::Status;
use kluster_protocol::{ErrorClass, Offset, Running};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// From here on heartbeats show it.
const SHOWN: Duration = Lasting::WORTH_REPORTING;
/// It is reported again after so long.
const AGAIN: Duration = Lasting::REMIND;

/// How long a batch has been executing.
pub(super) struct Long {
    first: Option<(Offset, String)>,
    began: Instant,
    since_ms: u64,
    due: Instant,
}

impl Long {
    /// A batch that begins to execute now.
    pub fn new(plan: &Plan, reporter: &Reporter) -> Self {
        let began = Instant::now();
        Self { first: plan.first_work(), began, since_ms: reporter.now_ms(), due: began + SHOWN }
    }

    /// Waits until there is something to say. Cancel-safe.
    pub async fn next(&self) {
        sleep_until(self.due).await;
    }

    /// There is nothing to say yet.
    pub fn later(&mut self) {
        self.due = Instant::now() + SHOWN;
    }

    /// It has several requests, and is to be ended for that; or none.
    pub fn is_one_of_several(&mut self) -> bool {
        self.due = Instant::now() + AGAIN;
        self.first.is_some()
    }

    /// Says that the one request still executes.
    pub async fn say(&mut self, status: &Status, reporter: &Reporter) {
        self.due = Instant::now() + AGAIN;
        let Some((offset, request_id)) = self.first.clone() else { return };
        let seconds = self.began.elapsed().as_secs();
        let message = format!(
            "this request has been executing for {seconds} s, and what follows waits; kluster-admin cancel {offset} ends it on all nodes"
        );
        status.runs(Some(Running { offset, request_id: request_id.clone(), since_ms: self.since_ms }));
        let cause = Cause::new("long_running", message);
        reporter.say(ErrorClass::Alarm, Some((offset, request_id)), &cause, Some(self.since_ms)).await;
    }
}
