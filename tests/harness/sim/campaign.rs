//! Campaign: many seeds, on as many threads as there are cores, and what they met all together.

use super::counts::Counts;
use super::world::{Failure, simulate};
use kluster_node::step::Step;
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Which seeds to live through.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first.
    pub from: u64,
    /// How many.
    pub seeds: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    campaign: Campaign,
    counts: Counts,
    failures: Vec<Failure>,
    took: Duration,
}

/// Lives through every seed of `campaign`.
pub fn run(campaign: Campaign) -> Report {
    let (counts, failures, next) = (Counts::default(), Mutex::new(Vec::new()), AtomicU64::new(campaign.from));
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= campaign.from + campaign.seeds {
                        return;
                    }
                    if let Err(failure) = one(seed, &counts) {
                        failures.lock().expect("never poisoned").push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("never poisoned");
    Report { campaign, counts, failures, took: began.elapsed() }
}

fn one(seed: u64, counts: &Counts) -> Result<u64, Failure> {
    let failed = |error: String| Failure { seed, findings: vec![error] };
    let directory = tempfile::Builder::new()
        .prefix("kluster-sim")
        .tempdir_in(fast_place())
        .map_err(|error| failed(error.to_string()))?;
    let mine = Counts::default();
    let lived = std::panic::catch_unwind(|| simulate(seed, directory.path(), &mine));
    counts.absorb(&mine);
    lived.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(failed(format!("panicked: {}", text.unwrap_or_default())))
    })
}

/// Databases that live for a moment lie in memory where the machine offers it.
fn fast_place() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// What every campaign of 1,000 seeds must have met; what was never met was never tested.
fn wanted() -> Vec<String> {
    let on_sqlite = |step: &&Step| !matches!(step, Step::Intended | Step::SelfCommitted);
    let crashes = Step::EACH.iter().filter(on_sqlite).map(|step| format!("crash at {step:?}"));
    let met = [
        "checks done",
        "running digests compared with the model",
        "crash between steps",
        "crash while it appends to ALL",
        "crash while it appends to NODES",
        "crash while it appends to RESPONSES",
        "crash while it reads ALL",
        "crash while it reads ONE",
        "drained",
        "death: OrphanCommits",
        "death: OrphanRollsBack",
        "orphan committed",
        "orphan rolled back",
        "fault: lock wait",
        "fault: claim raised",
        "a hole in ALL",
        "dedupe: known again",
        "dedupe: id used again",
        "dedupe: expired",
        "client died while it waited",
        "client asked again",
        "client told: done",
        "client told: read",
        "client told: timed out",
        "client told: voters gone",
        "log: lost on ALL",
        "log: ack lost on ALL",
        "log: doubled on ALL",
        "log: delayed on ALL",
        "log: read late from ALL",
        "log: read late from ONE",
        "log: read late from RESPONSES",
        "log: lost on RESPONSES",
        "log: doubled on RESPONSES",
        "reads of ONE answered",
        "a read was given up",
        "a node ended a read that was given up",
        "database lost as a whole",
        "decision: error, agreed",
        "decision: error, by the operator",
        "decision: retry",
        "decision: cancelled",
        "decision: let go",
        "decision: came too late",
        "node waits: doomed",
        "node waits: flaky",
        "node waits: held",
        "operator: cancels",
        "refused for its surroundings",
    ];
    let refused = [
        "bad_request",
        "bad_since",
        "cancelled",
        "check_violation",
        "clock",
        "decided",
        "duplicate_object",
        "expect_rows",
        "expired",
        "foreign_key_violation",
        "kluster_schema",
        "message_id_reuse",
        "randomness",
        "several_statements",
        "syntax_error",
        "transaction_control",
        "undefined_table",
        "unique_violation",
    ];
    let refused = refused.map(|code| format!("refused: {code}"));
    crashes.chain(met.map(str::to_owned)).chain(refused).collect()
}

impl Report {
    /// No promise was broken, and everything that must be survived was met.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && (self.campaign.seeds < 1000 || self.missing().is_empty())
    }

    /// What was never met.
    pub fn missing(&self) -> Vec<String> {
        self.counts.missing(&wanted())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.counts)?;
        for failure in &self.failures {
            writeln!(
                f,
                "seed {} broke a promise (replay: make simulate SEEDS=1 FROM={}):",
                failure.seed, failure.seed
            )?;
            for finding in &failure.findings {
                writeln!(f, "  {finding}")?;
            }
        }
        let missing = self.missing();
        if !missing.is_empty() {
            writeln!(f, "never met: {}", missing.join(", "))?;
        }
        let (seeds, failures) = (self.campaign.seeds, self.failures.len());
        write!(f, "{seeds} seeds from {}, {failures} failed, {:.1} s", self.campaign.from, self.took.as_secs_f64())
    }
}
