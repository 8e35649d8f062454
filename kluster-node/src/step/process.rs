//! Stops the whole process at a step, so that a test can kill it there or let it go on. Only in builds for tests.
//!
//! `KLUSTER_TEST_STEP=Committing:3:stop`: at the third `Committing` the process stops itself as by SIGSTOP; `kill`: as by SIGKILL.

use super::{Step, Steps, Watch};
use rustix::process::{Signal, getpid, kill_process};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

struct Halt {
    at: Step,
    left: AtomicU32,
    signal: Signal,
}

impl Steps {
    /// The steps that the environment asks to be watched.
    pub fn from_environment() -> Result<Self, String> {
        match std::env::var("KLUSTER_TEST_STEP") {
            Err(_) => Ok(Self::default()),
            Ok(text) => parse(&text).map(|halt| Self::watched(Arc::new(halt))),
        }
    }
}

fn parse(text: &str) -> Result<Halt, String> {
    let wrong =
        || format!("KLUSTER_TEST_STEP={text}: expected STEP:COUNT:stop or STEP:COUNT:kill, such as Committing:3:stop");
    let [step, count, signal] = text.split(':').collect::<Vec<_>>()[..] else { return Err(wrong()) };
    let at = Step::EACH.into_iter().find(|known| format!("{known:?}") == step).ok_or_else(wrong)?;
    let signal = match signal {
        "stop" => Signal::STOP,
        "kill" => Signal::KILL,
        _ => return Err(wrong()),
    };
    Ok(Halt { at, left: AtomicU32::new(count.parse().map_err(|_| wrong())?), signal })
}

impl Watch for Halt {
    fn reached(&self, step: Step) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if step == self.at && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                tracing::info!(?step, signal = ?self.signal, "a test stops this process");
                let _ = kill_process(getpid(), self.signal);
            }
        })
    }
}
