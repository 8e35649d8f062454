//! Retry: what a fault asks of the ALL lane next, given how often it came.
//!
//! Neighbours: `fault` names the faults, the ALL lane does what is judged here.

use crate::all_lane::BatchLimit;
use crate::fault::{Cause, Fault};
use crate::report::Lasting;
use crate::start::LOG_UNREACHABLE;
use kluster_protocol::ErrorClass;
use std::time::Duration;

/// What heartbeats and reports call a wait for somebody else's lock.
pub const LOCK_WAIT: &str = "lock_wait";

/// What to do after a fault.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Wait this long and go on.
    Again(Duration, Cause),
    /// Connect again first.
    Recover(Cause),
    /// Stop, and say so as this class.
    Stop(ErrorClass, Fault),
}

/// How often, and since when, the lane has been trying.
#[derive(Debug, Default)]
pub struct Retry {
    tries: u32,
    last_code: Option<String>,
    raised: u32,
    /// What it has been trying against.
    pub lasting: Lasting,
    alone: usize,
}

impl Retry {
    /// A pause, or a time of trying, from which heartbeats say that the node is retrying.
    pub const WORTH_SAYING: Duration = Duration::from_millis(500);
    /// The same passing fault this often on a live connection is not passing: with the pauses below, some 2 minutes.
    const PASSING: u32 = 130;
    /// An unknown fault is tried this often, alone, before the lane stops.
    const UNKNOWN: u32 = 3;
    /// A full disk is tried again this often, for ever.
    const DISK_FULL: Duration = Duration::from_secs(5);

    /// A batch went through. Gives what was the trouble until now.
    pub fn passed(&mut self) -> Lasting {
        let alone = self.alone.saturating_sub(1);
        std::mem::replace(self, Self { alone, ..Self::default() }).lasting
    }

    /// Nothing is left to try: the log was read to its end. Gives what was the trouble until now. A claim that was raised stays counted: a second
    /// process that is always faster leaves nothing to do.
    pub fn idle(&mut self) -> Lasting {
        let before = std::mem::take(self);
        (self.raised, self.alone) = (before.raised, before.alone);
        before.lasting
    }

    /// What was decided lets the lane begin again, one record first.
    pub fn begin_again(&mut self) {
        *self = Self { alone: 1, ..Self::default() };
    }

    /// The next so many records run alone: one of them may be the reason why the server was lost.
    pub fn run_alone(&mut self, records: usize) {
        self.alone = self.alone.max(records);
    }

    /// The next record runs alone.
    pub fn is_alone(&self) -> bool {
        self.alone > 0
    }

    /// At most how many works the next batch may have.
    pub fn batch_limit(&self, limit: &BatchLimit) -> usize {
        if self.alone > 0 { 1 } else { (limit.0)() }
    }

    /// The next pause: from 10 ms, doubled up to 1 s.
    pub fn pause(&mut self) -> Duration {
        self.tries += 1;
        Duration::from_millis(10 << self.tries.min(7)).min(Duration::from_secs(1))
    }

    /// Judges a fault of a batch made from `records` records.
    pub fn judge(&mut self, fault: Fault, records: usize) -> Verdict {
        let same = self.last_code.as_deref() == Some(fault.cause().code.as_str());
        if !same {
            self.tries = 0;
            self.last_code = Some(fault.cause().code.clone());
        }
        let was_alone = self.alone > 0;
        match fault {
            Fault::Transient(cause) if self.tries < Self::PASSING || cause.code == LOG_UNREACHABLE => {
                Verdict::Again(self.pause(), cause)
            }
            Fault::Transient(cause) if !was_alone && records > 1 => {
                (self.alone, self.tries) = (records, 0);
                Verdict::Again(self.pause(), cause)
            }
            Fault::Transient(cause) => Verdict::Stop(ErrorClass::Unknown, Fault::Unknown(cause)),
            Fault::LockWait(cause) => Verdict::Again(self.pause(), lock_wait(cause)),
            Fault::Lost(cause) => {
                self.raised = 0;
                Verdict::Recover(cause)
            }
            Fault::ClaimRaised(cause) => {
                self.raised += 1;
                match self.raised {
                    1 => Verdict::Again(Duration::ZERO, cause),
                    _ => Verdict::Stop(ErrorClass::Fatal, Fault::Fatal(second_process(cause))),
                }
            }
            Fault::RunAlone(cause) => {
                self.alone = records.max(1);
                match was_alone {
                    // Alone already: then it is a passing fault of this message.
                    true if self.tries < Self::PASSING => Verdict::Again(self.pause(), cause),
                    true => Verdict::Stop(ErrorClass::Unknown, Fault::Unknown(cause)),
                    false => Verdict::Again(Duration::ZERO, cause),
                }
            }
            Fault::DiskFull(cause) => Verdict::Again(Self::DISK_FULL, cause),
            Fault::Fatal(cause) => Verdict::Stop(ErrorClass::Fatal, Fault::Fatal(cause)),
            Fault::Unknown(cause) => {
                self.alone = records.max(1);
                match self.tries < Self::UNKNOWN || !was_alone {
                    true => Verdict::Again(self.pause(), cause),
                    false => Verdict::Stop(ErrorClass::Unknown, Fault::Unknown(cause)),
                }
            }
        }
    }
}

/// The same word for every DBMS; its own code stands in the message.
fn lock_wait(Cause { code, message }: Cause) -> Cause {
    Cause::new(LOCK_WAIT, format!("somebody beside Kluster holds a lock that the batch needs: {message} ({code})"))
}

fn second_process(cause: Cause) -> Cause {
    let message = format!(
        "{}: twice without a reconnect, so a second process applies to this database; stop one of them",
        cause.message
    );
    Cause::new("second_process", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause() -> Cause {
        Cause::new("c", "m")
    }

    #[test]
    fn a_claim_raised_twice_without_reconnect_is_a_second_process() {
        let mut retry = Retry::default();
        assert!(matches!(retry.judge(Fault::ClaimRaised(cause()), 1), Verdict::Again(..)));
        assert!(matches!(retry.judge(Fault::Lost(cause()), 1), Verdict::Recover(_)));
        assert!(matches!(retry.judge(Fault::ClaimRaised(cause()), 1), Verdict::Again(..)));
        assert!(matches!(retry.judge(Fault::ClaimRaised(cause()), 1), Verdict::Stop(ErrorClass::Fatal, _)));
    }

    #[test]
    fn a_passing_fault_that_does_not_pass_becomes_unknown_and_a_full_disk_waits_for_ever() {
        let mut retry = Retry::default();
        for _ in 0..Retry::PASSING {
            assert!(matches!(retry.judge(Fault::Transient(cause()), 1), Verdict::Again(..)));
        }
        assert!(matches!(retry.judge(Fault::Transient(cause()), 1), Verdict::Stop(ErrorClass::Unknown, _)));
        let mut retry = Retry::default();
        for _ in 0..1000 {
            assert!(matches!(retry.judge(Fault::DiskFull(cause()), 1), Verdict::Again(..)));
        }
    }

    #[test]
    fn a_lock_and_a_log_that_is_away_are_waited_for_without_end() {
        let mut retry = Retry::default();
        for _ in 0..10 * Retry::PASSING {
            let Verdict::Again(_, cause) = retry.judge(Fault::LockWait(cause()), 1) else { panic!("it is no fault") };
            assert_eq!(cause.code, LOCK_WAIT);
        }
        let away = || Cause::new(LOG_UNREACHABLE, "m");
        for _ in 0..10 * Retry::PASSING {
            assert!(matches!(retry.judge(Fault::Transient(away()), 0), Verdict::Again(..)));
        }
    }

    #[test]
    fn a_second_process_that_leaves_nothing_to_do_is_found_all_the_same() {
        let mut retry = Retry::default();
        assert!(matches!(retry.judge(Fault::ClaimRaised(cause()), 1), Verdict::Again(..)));
        retry.idle();
        assert!(matches!(retry.judge(Fault::ClaimRaised(cause()), 1), Verdict::Stop(ErrorClass::Fatal, _)));
    }

    #[test]
    fn an_unknown_fault_is_tried_alone_before_the_lane_stops() {
        let mut retry = Retry::default();
        assert!(matches!(retry.judge(Fault::Unknown(cause()), 60), Verdict::Again(..)));
        assert_eq!(retry.batch_limit(&BatchLimit::default()), 1);
        let stopped =
            (0..5).find(|_| matches!(retry.judge(Fault::Unknown(cause()), 60), Verdict::Stop(ErrorClass::Unknown, _)));
        assert!(stopped.is_some());
    }

    #[test]
    fn a_batch_that_must_run_alone_runs_alone_for_each_of_its_messages() {
        let mut retry = Retry::default();
        retry.judge(Fault::RunAlone(cause()), 3);
        for left in [3, 2, 1] {
            assert_eq!(retry.batch_limit(&BatchLimit::default()), 1, "{left}");
            retry.passed();
        }
        assert_eq!(retry.batch_limit(&BatchLimit::default()), MAX_BATCH_DEFAULT);
    }

    const MAX_BATCH_DEFAULT: usize = kluster_protocol::MAX_BATCH;
}
