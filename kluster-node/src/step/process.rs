//! Stops the whole process at a step, so that a test can kill it there or let it go on. Only in builds for tests.
//!
//! `KLUSTER_TEST_STEP=Committing:3:stop`: at the third `Committing` the process stops itself as by SIGSTOP; `kill`: as by SIGKILL.
//! `KLUSTER_TEST_FAULT=XX999:stumble`: a statement whose text holds the word `stumble` fails by the unknown code `XX999`.
//! `KLUSTER_TEST_EFFECT=n + 1=>n + 2`: in the place of a statement's text `n + 1` the node executes `n + 2`, a wrong effect.
//! `KLUSTER_TEST_BATCH=7`: at most seven works in a batch; `seed:17`: from 1 to as many as there may be, drawn anew for each batch.

use super::{Step, Steps, Watch};
use crate::all_lane::BatchLimit;
use crate::fault::{Cause, Fault};
use kluster_protocol::MAX_BATCH;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Signal, getpid, kill_process};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Default)]
struct Asked {
    halt: Option<Halt>,
    /// Code and word.
    fault: Option<(String, String)>,
    /// What stands in the place of what.
    effect: Option<(String, String)>,
}

struct Halt {
    at: Step,
    left: AtomicU32,
    signal: Signal,
}

impl Steps {
    /// The steps that the environment asks to be watched.
    pub fn from_environment() -> Result<Self, String> {
        let mut asked = Asked::default();
        if let Ok(text) = std::env::var("KLUSTER_TEST_STEP") {
            asked.halt = Some(parse(&text)?);
        }
        if let Ok(text) = std::env::var("KLUSTER_TEST_FAULT") {
            let fault = text.split_once(':').map(|(code, word)| (code.to_owned(), word.to_owned()));
            asked.fault = Some(fault.ok_or_else(|| format!("KLUSTER_TEST_FAULT={text}: expected CODE:WORD"))?);
        }
        if let Ok(text) = std::env::var("KLUSTER_TEST_EFFECT") {
            let effect = text.split_once("=>").map(|(told, done)| (told.to_owned(), done.to_owned()));
            asked.effect = Some(effect.ok_or_else(|| format!("KLUSTER_TEST_EFFECT={text}: expected TOLD=>DONE"))?);
        }
        match asked.halt.is_none() && asked.fault.is_none() && asked.effect.is_none() {
            true => Ok(Self::default()),
            false => Ok(Self::watched(Arc::new(asked))),
        }
    }
}

impl BatchLimit {
    /// The batch borders that the environment asks for.
    pub fn from_environment() -> Result<Self, String> {
        let Ok(text) = std::env::var("KLUSTER_TEST_BATCH") else { return Ok(Self::default()) };
        let wrong = |_| format!("KLUSTER_TEST_BATCH={text}: expected a number from 1 on, such as 7, or seed:17");
        match text.strip_prefix("seed:") {
            Some(seed) => Ok(Self::drawn(seed.parse().map_err(wrong)?)),
            None => {
                let most = text.parse::<std::num::NonZeroUsize>().map_err(wrong)?.get();
                Ok(Self(Arc::new(move || most)))
            }
        }
    }

    fn drawn(seed: u64) -> Self {
        let rng = Mutex::new(StdRng::seed_from_u64(seed));
        Self(Arc::new(move || rng.lock().unwrap_or_else(PoisonError::into_inner).random_range(1..=MAX_BATCH)))
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

impl Watch for Asked {
    fn reached(&self, step: Step) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let Some(halt) = &self.halt else { return };
            if step == halt.at && halt.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                tracing::info!(?step, signal = ?halt.signal, "a test stops this process");
                let _ = kill_process(getpid(), halt.signal);
            }
        })
    }

    fn bends(&self, text: &str) -> Option<String> {
        let (told, done) = self.effect.as_ref()?;
        text.contains(told).then(|| text.replace(told, done))
    }

    fn fails(&self, texts: &[&str]) -> Option<Fault> {
        let (code, word) = self.fault.as_ref()?;
        let found = texts.iter().any(|text| text.contains(word));
        found.then(|| Fault::Unknown(Cause::new(code, "a test wants this to fail")))
    }
}
